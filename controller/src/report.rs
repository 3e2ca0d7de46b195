//! The writes to ManagedResources: finalizer, annotations, status.

use holdfast_core::{
    api::{ManagedResource, Status},
    names,
};
use holdfast_runtime::call::CallError;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::gate::Gate;

/// Adds or removes our finalizer, guarded by the resource version. Returns the ManagedResource as stored.
///
/// # Errors
/// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time.
pub async fn set_finalizer(
    gate: &Gate,
    client: &Client,
    mr: &ManagedResource,
    finalizer: &str,
    present: bool,
) -> Result<ManagedResource, CallError> {
    let mut finalizers = mr.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|name| name != finalizer);
    if present {
        finalizers.push(finalizer.to_owned());
    }
    let patch = json!({ "metadata": { "resourceVersion": mr.metadata.resource_version, "finalizers": finalizers } });
    merge(gate, client, mr, "patch the finalizers of the ManagedResource", &patch).await
}

/// Removes the annotation that asked for a reconcile.
///
/// # Errors
/// The server refuses, or no answer comes in time.
pub async fn remove_operation(
    gate: &Gate,
    client: &Client,
    mr: &ManagedResource,
) -> Result<ManagedResource, CallError> {
    let patch = json!({ "metadata": { "annotations": { names::ANNOTATION_OPERATION: null } } });
    merge(gate, client, mr, "patch the annotations of the ManagedResource", &patch).await
}

async fn merge(
    gate: &Gate,
    client: &Client,
    mr: &ManagedResource,
    what: &str,
    patch: &Value,
) -> Result<ManagedResource, CallError> {
    let name = mr.key().name;
    gate.call(what, api(client, mr).patch(&name, &params(), &Patch::Merge(patch))).await
}

/// Writes the status if it differs, guarded by the resource version. Returns the ManagedResource as stored, `None` when
/// there was nothing to write.
///
/// # Errors
/// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time.
pub async fn set_status(
    gate: &Gate,
    client: &Client,
    mr: &ManagedResource,
    status: &Status,
) -> Result<Option<ManagedResource>, CallError> {
    if mr.status.as_ref().unwrap_or(&Status::default()) == status {
        return Ok(None);
    }
    let patch =
        json!({ "metadata": { "resourceVersion": mr.metadata.resource_version }, "status": with_nulls(status) });
    let name = mr.key().name;
    let (api, params, patch) = (api(client, mr), params(), Patch::Merge(&patch));
    gate.call("patch the status of the ManagedResource", api.patch_status(&name, &params, &patch)).await.map(Some)
}

/// A merge patch removes only what is null in it.
fn with_nulls(status: &Status) -> Value {
    let mut value =
        json!({ "conditions": null, "observedGeneration": null, "resources": null, "secretsDataChecksum": null });
    if let (Value::Object(all), Value::Object(set)) = (&mut value, json!(status)) {
        all.extend(set);
    }
    value
}

fn api(client: &Client, mr: &ManagedResource) -> Api<ManagedResource> {
    Api::namespaced(client.clone(), &mr.key().namespace)
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
