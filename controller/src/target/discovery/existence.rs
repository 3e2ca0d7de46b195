//! Whether a kind that nobody serves may still exist: asks APIServices and CustomResourceDefinitions.

use std::{collections::BTreeMap, time::Duration};

use holdfast_core::{
    key::{GroupKind, Gvk},
    manifest::discovery::{ApiService, absence},
};
use holdfast_runtime::{
    api::Api,
    call::{CallError, DEFAULT_LIMIT, call},
};
use kube::{api::ListParams, core::Object};
use serde::{Deserialize, de::DeserializeOwned, de::IgnoredAny};
use tokio::time::Instant;

use super::Discoverer;
use crate::target::partial_object::{self, PartialObject, api_resource};

/// For so long an answer is good: objects of one kind are asked for together.
const LIFETIME: Duration = Duration::from_secs(2);
/// Objects on a page.
const PAGE: u32 = 500;

/// What was found out of late. Locked while it is asked, so that each kind is asked for once.
pub(super) type Answers = tokio::sync::Mutex<BTreeMap<GroupKind, (Instant, Result<(), String>)>>;

/// The part of an APIService that matters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    group: String,
    version: String,
    service: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceStatus {
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

/// The part of a CustomResourceDefinition that matters: its schemas may be megabytes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct DefinitionSpec {
    group: String,
    names: DefinitionNames,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct DefinitionNames {
    kind: String,
}

impl Discoverer {
    /// Whether a kind is known not to exist: then there are no objects of it.
    ///
    /// # Errors
    /// It exists, or nobody can tell; why.
    pub async fn absence(&self, kind: &GroupKind) -> Result<(), String> {
        let mut answers = self.answers.lock().await;
        answers.retain(|_, (at, _)| at.elapsed() < LIFETIME);
        if let Some((_, answer)) = answers.get(kind) {
            return answer.clone();
        }
        let answer = self.ask_for(kind).await;
        answers.insert(kind.clone(), (Instant::now(), answer.clone()));
        answer
    }

    async fn ask_for(&self, kind: &GroupKind) -> Result<(), String> {
        let unknown = |error: CallError| format!("nobody can tell whether kind {kind} still exists: {error}");
        let services = self.services(&kind.group).await.map_err(unknown)?;
        let definitions = self.definitions(&kind.group).await.map_err(unknown)?;
        // Last, so that it is newer than what the others speak of.
        let served = self.refresh_now().await.map_err(unknown)?;
        absence(kind, &served.kinds, &services, &definitions)
    }

    async fn services(&self, group: &str) -> Result<Vec<ApiService>, CallError> {
        let gvk = Gvk::new("apiregistration.k8s.io/v1", "APIService");
        let found = self.of_group::<Object<ServiceSpec, ServiceStatus>>(&gvk, "apiservices", group).await?;
        let service = |object: Object<ServiceSpec, ServiceStatus>| {
            let conditions = object.status.unwrap_or_default().conditions;
            ApiService {
                group: object.spec.group,
                version: object.spec.version,
                is_local: object.spec.service.is_none(),
                is_available: conditions.iter().any(|each| each.type_ == "Available" && each.status == "True"),
            }
        };
        Ok(found.into_iter().map(service).collect())
    }

    async fn definitions(&self, group: &str) -> Result<Vec<GroupKind>, CallError> {
        let gvk = Gvk::new("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        let found =
            self.of_group::<Object<DefinitionSpec, IgnoredAny>>(&gvk, "customresourcedefinitions", group).await?;
        let kind = |object: Object<DefinitionSpec, IgnoredAny>| GroupKind {
            group: object.spec.group,
            kind: object.spec.names.kind,
        };
        Ok(found.into_iter().map(kind).collect())
    }

    /// The APIServices or definitions of a group: the names of all, since they say the group, then those of the group one after
    /// the other. A server without this kind has none.
    async fn of_group<K>(&self, gvk: &Gvk, plural: &str, group: &str) -> Result<Vec<K>, CallError>
    where
        K: kube::Resource<DynamicType = kube::core::ApiResource> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let names = match self.names(gvk, plural).await {
            Err(error) if error.is_not_served() => return Ok(Vec::new()),
            names => names?,
        };
        let api: Api<K> = Api::all_with(self.client.clone(), &api_resource(gvk, plural));
        let mut objects = Vec::new();
        for name in names.iter().filter(|name| group_of(name) == Some(group)) {
            match call(DEFAULT_LIMIT, format!("get {} {name}", gvk.kind), api.get(name)).await {
                Err(error) if error.is_not_found() => {}
                object => objects.push(object?),
            }
        }
        Ok(objects)
    }

    /// A list ends, however many pages it has: each is as of the same moment.
    async fn names(&self, gvk: &Gvk, plural: &str) -> Result<Vec<String>, CallError> {
        let api: Api<PartialObject> = partial_object::api(&self.client, gvk, plural, "");
        let (mut names, mut next) = (Vec::new(), None);
        loop {
            let page = ListParams { limit: Some(PAGE), continue_token: next, ..ListParams::default() };
            let list = call(DEFAULT_LIMIT, format!("list {plural}"), api.list(&page)).await?;
            names.extend(list.items.into_iter().filter_map(|object| object.metadata.name));
            next = list.metadata.continue_.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(names);
            }
        }
    }
}

/// The API server demands that APIServices are named `version.group` and definitions `plural.group`; neither a version nor a
/// plural has a dot.
fn group_of(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, group)| group)
}
