//! Requests about objects of the target, sent as our field managers.

mod apply;
mod delete;

use holdfast_core::{
    api::ResourceReference,
    key::{Gvk, ObjectKey},
    manifest::discovery::ApiInfo,
    names,
};
use holdfast_runtime::{api::Api, call::CallError, traffic::Resource};
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Client,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicObject, DynamicResourceScope},
    runtime::conditions::{Condition as _, is_crd_established},
};
use serde_json::Value;

use super::{
    error::ApplyError,
    partial_object::{self, PartialObject},
    write_gate::WriteGate,
};

pub(crate) use apply::DryRun;
pub(crate) use delete::DeleteAnswer;

/// Where the objects of a kind are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) gvk: Gvk,
    pub(crate) plural: String,
}

impl Endpoint {
    /// As discovery says.
    pub(crate) fn new(gvk: &Gvk, info: &ApiInfo) -> Self {
        Self { gvk: gvk.clone(), plural: info.plural.clone() }
    }

    /// What requests to it are counted as.
    pub(crate) fn resource(&self) -> Resource {
        Resource::new(&self.gvk.group, &self.plural)
    }
}

/// Sends requests to the target while this process leads.
#[derive(Clone)]
pub(crate) struct TargetClient {
    client: Client,
    gate: WriteGate,
}

impl TargetClient {
    /// Sends requests by `client`, each through `gate`.
    pub(crate) fn new(client: Client, gate: WriteGate) -> Self {
        Self { client, gate }
    }

    /// The client without the gate, for reading.
    pub(crate) fn plain(&self) -> &Client {
        &self.client
    }

    /// What each request passes.
    pub(crate) fn gate(&self) -> &WriteGate {
        &self.gate
    }

    /// The objects of a kind in a namespace, or all for cluster-scoped kinds.
    pub(crate) fn api<K>(&self, endpoint: &Endpoint, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
    {
        partial_object::api(&self.client, &endpoint.gvk, &endpoint.plural, namespace)
    }

    /// Metadata of an object; `None` if there is none where its kind is served.
    ///
    /// # Errors
    /// The kind is not served, the server refuses, or no answer comes in time.
    pub(crate) async fn get(&self, endpoint: &Endpoint, object: &ObjectKey) -> Result<Option<ObjectMeta>, CallError> {
        get_metadata(&self.gate, &self.api(endpoint, object.namespace()), object.name()).await
    }

    /// A whole object.
    ///
    /// # Errors
    /// There is none, the server refuses, or no answer comes in time.
    pub(crate) async fn get_whole(&self, endpoint: &Endpoint, object: &ObjectKey) -> Result<DynamicObject, CallError> {
        let api: Api<DynamicObject> = self.api(endpoint, object.namespace());
        self.gate.call("get", api.get(object.name())).await
    }

    /// Sends a JSON patch as one of our field managers, and returns the object's metadata.
    ///
    /// # Errors
    /// It is not a patch, the server refuses, or no answer comes in time.
    pub(crate) async fn patch_json(
        &self,
        patch: JsonPatch,
        endpoint: &Endpoint,
        object: &ObjectKey,
    ) -> Result<ObjectMeta, ApplyError> {
        let operations: json_patch::Patch = serde_json::from_value(patch.operations).map_err(ApplyError::body)?;
        let api: Api<PartialObject> = self.api(endpoint, object.namespace());
        let (params, operations) = (params_of(patch.manager), Patch::Json::<()>(operations));
        Ok(self.gate.call(patch.what, api.patch(object.name(), &params, &operations)).await?.metadata)
    }

    /// Sends a merge patch, and returns the object's metadata.
    ///
    /// # Errors
    /// The server refuses, or no answer comes in time.
    pub(crate) async fn patch_merge(
        &self,
        what: &str,
        endpoint: &Endpoint,
        object: &ObjectKey,
        patch: &Value,
    ) -> Result<ObjectMeta, CallError> {
        let api: Api<PartialObject> = self.api(endpoint, object.namespace());
        Ok(self.gate.call(what, api.patch(object.name(), &params(), &Patch::Merge(patch))).await?.metadata)
    }

    /// Whether a CustomResourceDefinition is served.
    ///
    /// # Errors
    /// The server refuses, or no answer comes in time.
    pub(crate) async fn is_established(&self, name: &str) -> Result<bool, CallError> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let definition = self.gate.call("get CustomResourceDefinition", api.get(name)).await?;
        Ok(is_crd_established().matches_object(Some(&definition)))
    }
}

/// A JSON patch.
pub(crate) struct JsonPatch {
    /// What it is for, as errors name it.
    pub(crate) what: &'static str,
    pub(crate) operations: Value,
    /// Whose write it is.
    pub(crate) manager: &'static str,
}

impl JsonPatch {
    /// By our main field manager.
    pub(crate) fn new(what: &'static str, operations: Value) -> Self {
        Self { what, operations, manager: names::FIELD_MANAGER }
    }
}

/// Metadata of an object; `None` if there is none where its kind is served.
///
/// # Errors
/// The kind is not served, the server refuses, or no answer comes in time.
pub(crate) async fn get_metadata(
    gate: &WriteGate,
    api: &Api<PartialObject>,
    name: &str,
) -> Result<Option<ObjectMeta>, CallError> {
    match gate.call("get", api.get(name)).await {
        Ok(live) => Ok(Some(live.metadata)),
        Err(error) if error.is_not_found() && !error.is_not_served() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What makes a write ours.
pub(crate) fn params() -> PatchParams {
    params_of(names::FIELD_MANAGER)
}

/// What makes a write that of one of our field managers.
fn params_of(manager: &str) -> PatchParams {
    PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() }.validation_ignore()
}

/// What requests for an object of an inventory are counted as.
pub(crate) fn resource_of(reference: &ResourceReference) -> Resource {
    Resource::new(reference.gvk().group, reference.resource.as_deref().unwrap_or_default())
}
