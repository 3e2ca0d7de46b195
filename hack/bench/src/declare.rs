//! ConfigMaps of 1 kB, the Secrets that declare them, and the ManagedResources that name these.
use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use holdfast_runtime::api::Api;
use kube::Client;
use kube::api::{DynamicObject, ListParams, Object, Patch, PatchParams, PostParams};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::stage::{HOME, Stage, resource};

/// The value that an edit changes.
pub(super) const DECLARED: &str = "as declared";
/// With names, labels and structure, 1 kB.
const FILLER: usize = 800;
/// Documents in a key of a Secret.
const DOCUMENTS: usize = 50;
/// Requests of the driver at a time, where many objects are made.
const WIDTH: usize = 8;

/// A ManagedResource as far as the driver reads it: not the inventory, which is most of it.
pub(super) type Mr = Object<IgnoredAny, Progress>;

/// The part of the status that says how far it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Progress {
    conditions: Vec<Condition>,
    observed_generation: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

/// Whether all that the ManagedResource now asks for has been applied.
pub(super) fn is_applied(mr: &Mr) -> bool {
    mr.status.as_ref().is_some_and(|status| {
        let is_true = |condition: &Condition| condition.type_ == "ResourcesApplied" && condition.status == "True";
        status.observed_generation == mr.metadata.generation && status.conditions.iter().any(is_true)
    })
}

/// A ManagedResource to be, with its Secrets: one for each number of objects.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    pub(super) name: String,
    /// Where its objects are.
    pub(super) namespace: String,
    /// How many objects each Secret declares.
    pub(super) parts: Vec<usize>,
}

impl Declaration {
    /// With three Secrets, of which the first declares half of the objects.
    pub(super) fn large(name: &str, namespace: &str, objects: usize) -> Self {
        let (half, quarter) = (objects / 2, objects / 4);
        let parts = vec![half, quarter, objects - half - quarter];
        Self { name: name.to_owned(), namespace: namespace.to_owned(), parts }
    }

    /// With one Secret.
    pub(super) fn small(name: &str, namespace: &str, objects: usize) -> Self {
        Self { name: name.to_owned(), namespace: namespace.to_owned(), parts: vec![objects] }
    }

    /// The names of all objects, in the order of the Secrets.
    pub(super) fn objects(&self) -> Vec<String> {
        (0..self.parts.iter().sum()).map(|number| format!("{}-{number:04}", self.name)).collect()
    }

    /// The name of a Secret.
    pub(super) fn secret_name(&self, part: usize) -> String {
        format!("{}-{part}", self.name)
    }

    /// The objects that a Secret declares.
    pub(super) fn objects_of(&self, part: usize) -> Vec<String> {
        let before: usize = self.parts.iter().take(part).sum();
        let count = self.parts.get(part).copied().unwrap_or_default();
        self.objects().into_iter().skip(before).take(count).collect()
    }

    /// The content of a Secret, as `stringData`; `changed` is the one object that has another value.
    pub(super) fn content(&self, part: usize, changed: Option<(&str, &str)>) -> BTreeMap<String, String> {
        let mut content = BTreeMap::new();
        for (number, names) in self.objects_of(part).chunks(DOCUMENTS).enumerate() {
            let mut text = String::new();
            for name in names {
                let value = changed.filter(|(changed, _)| changed == name).map_or(DECLARED, |(_, value)| value);
                let (namespace, filler) = (&self.namespace, filler());
                // Writing to a String does not fail.
                let _ = write!(
                    text,
                    "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {namespace}\n\
                     data:\n  value: {value}\n  filler: {filler}\n"
                );
            }
            content.insert(format!("objects-{number:02}.yaml"), text);
        }
        content
    }

    /// Creates the Secrets.
    ///
    /// # Errors
    /// The API server refuses.
    pub(super) async fn create_secrets(&self, stage: &Stage) -> Result<()> {
        let secrets = secrets(stage);
        for part in 0..self.parts.len() {
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.secret_name(part)},
                "stringData": self.content(part, None),
            });
            let secret: DynamicObject = serde_json::from_value(secret).context("make a Secret")?;
            secrets.create(&PostParams::default(), &secret).await.context("create a Secret")?;
        }
        Ok(())
    }

    /// Creates the ManagedResource, which lets edits pass: they are what is to be repaired.
    ///
    /// # Errors
    /// The API server refuses.
    pub(super) async fn create_mr(&self, stage: &Stage) -> Result<()> {
        let names: Vec<Value> = (0..self.parts.len()).map(|part| json!({"name": self.secret_name(part)})).collect();
        let mr = json!({
            "apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource",
            "metadata": {"name": self.name},
            "spec": {"secretRefs": names, "protection": {"mode": "Off"}},
        });
        let mr: DynamicObject = serde_json::from_value(mr).context("make a ManagedResource")?;
        objects_of_mrs(stage).create(&PostParams::default(), &mr).await.context("create a ManagedResource")?;
        Ok(())
    }

    /// Gives a Secret this content and nothing else.
    ///
    /// # Errors
    /// The API server refuses.
    pub(super) async fn fill(&self, stage: &Stage, part: usize, content: &BTreeMap<String, String>) -> Result<()> {
        // Keys that a merge patch is to remove have to be null in it, and `data` is where they are.
        let mut data: BTreeMap<String, Value> =
            self.content(part, None).into_keys().map(|key| (key, Value::Null)).collect();
        data.retain(|key, _| !content.contains_key(key));
        let patch = json!({"data": data, "stringData": content});
        let name = self.secret_name(part);
        let patched = secrets(stage).patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        patched.with_context(|| format!("patch Secret {name}"))?;
        Ok(())
    }
}

/// The same for many, side by side.
///
/// # Errors
/// The API server refuses.
pub(super) async fn create_all_secrets(stage: &Stage, all: &[Declaration]) -> Result<()> {
    stream::iter(all.iter().map(|one| one.create_secrets(stage))).buffer_unordered(WIDTH).try_collect().await
}

/// The same for many, side by side.
///
/// # Errors
/// The API server refuses.
pub(super) async fn create_all_mrs(stage: &Stage, all: &[Declaration]) -> Result<()> {
    stream::iter(all.iter().map(|one| one.create_mr(stage))).buffer_unordered(WIDTH).try_collect().await
}

/// A ConfigMap as the manifests declare it.
pub(super) fn config_map(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
        "data": {"value": DECLARED, "filler": filler()},
    })
}

/// The API of ConfigMaps in a namespace.
pub(super) fn config_maps(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource("", "v1", "ConfigMap", "configmaps"))
}

/// The resource versions of all objects, by name.
///
/// # Errors
/// The API server refuses.
pub(super) async fn versions(api: &Api<DynamicObject>) -> Result<BTreeMap<String, String>> {
    let list = api.collection().list_metadata(&ListParams::default()).await.context("list the objects")?;
    let pairs =
        list.items.into_iter().filter_map(|object| Some((object.metadata.name?, object.metadata.resource_version?)));
    Ok(pairs.collect())
}

/// A ManagedResource of a class that nobody works on, without Secrets.
///
/// # Errors
/// It cannot be made.
pub(super) fn idle(name: &str) -> Result<DynamicObject> {
    let mr = json!({
        "apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource", "metadata": {"name": name},
        "spec": {"class": "nobody", "secretRefs": []},
    });
    serde_json::from_value(mr).context("make a ManagedResource")
}

/// Writes the status of a ManagedResource as the controller does: an update that is answered by metadata alone.
///
/// # Errors
/// The API server refuses.
pub(super) async fn write_status(stage: &Stage, mr: &DynamicObject) -> Result<()> {
    let name = mr.metadata.name.as_deref().unwrap_or_default();
    let path = format!("/apis/resources.gardener.cloud/v1alpha1/namespaces/{HOME}/managedresources/{name}/status");
    let request = http::Request::put(format!("{path}?fieldManager=bare&fieldValidation=Ignore"))
        .header("content-type", "application/json")
        .header("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
        .body(serde_json::to_vec(mr).context("write a ManagedResource")?)
        .context("make a request")?;
    stage.client.request::<IgnoredAny>(request).await.context("update a status").map(drop)
}

/// The API of Secrets.
pub(super) fn secrets(stage: &Stage) -> Api<DynamicObject> {
    Api::namespaced_with(stage.client.clone(), HOME, &resource("", "v1", "Secret", "secrets"))
}

/// The API of ManagedResources, to be read.
pub(super) fn mrs(stage: &Stage) -> Api<Mr> {
    Api::namespaced_with(stage.client.clone(), HOME, &mr_resource())
}

/// The API of ManagedResources, to be written.
pub(super) fn objects_of_mrs(stage: &Stage) -> Api<DynamicObject> {
    Api::namespaced_with(stage.client.clone(), HOME, &mr_resource())
}

fn mr_resource() -> kube::api::ApiResource {
    resource("resources.gardener.cloud", "v1alpha1", "ManagedResource", "managedresources")
}

fn filler() -> String {
    "0123456789abcdef".repeat(FILLER / 16)
}
