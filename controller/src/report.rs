//! The writes to ManagedResources: finalizer, annotations, status.

use holdfast_core::{
    api::{ManagedResource, Status},
    key::NamespacedName,
    names,
};
use holdfast_runtime::call::CallError;
use http::{HeaderValue, header};
use kube::{
    Api, Client, Resource as _,
    api::{Patch, PatchParams},
    core::{PartialObjectMeta, Request},
};
use serde_json::{Value, json};

use crate::gate::Gate;

/// The answer without the object's content (design §3).
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

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

/// Removes the annotation that asked for a reconcile, guarded by the resource version.
///
/// # Errors
/// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time.
pub async fn remove_operation(
    gate: &Gate,
    client: &Client,
    mr: &ManagedResource,
) -> Result<ManagedResource, CallError> {
    let version = &mr.metadata.resource_version;
    let patch =
        json!({ "metadata": { "resourceVersion": version, "annotations": { names::ANNOTATION_OPERATION: null } } });
    merge(gate, client, mr, "patch the annotations of the ManagedResource", &patch).await
}

/// Only the metadata comes back: the patch must be guarded, so that the rest is what we know.
async fn merge(
    gate: &Gate,
    client: &Client,
    mr: &ManagedResource,
    what: &str,
    patch: &Value,
) -> Result<ManagedResource, CallError> {
    let name = mr.key().name;
    let metadata = gate.call(what, api(client, mr).patch_metadata(&name, &params(), &Patch::Merge(patch))).await?;
    Ok(ManagedResource { metadata: metadata.metadata, ..mr.clone() })
}

/// Writes the status, guarded by the resource version. Returns the ManagedResource as stored.
///
/// # Errors
/// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time.
pub async fn set_status(
    gate: &Gate,
    client: &Client,
    mr: &ManagedResource,
    status: &Status,
) -> Result<ManagedResource, CallError> {
    let patch =
        json!({ "metadata": { "resourceVersion": mr.metadata.resource_version }, "status": with_nulls(status) });
    let what = "patch the status of the ManagedResource";
    let failed = |cause| CallError::Failed { what: what.to_owned(), cause };
    let NamespacedName { namespace, name } = mr.key();
    let mut request = Request::new(ManagedResource::url_path(&(), Some(&namespace)))
        .patch_subresource("status", &name, &params(), &Patch::Merge(&patch))
        .map_err(|error| failed(kube::Error::BuildRequest(error)))?;
    // Of a large inventory, the answer would cost as much as the request.
    request.headers_mut().insert(header::ACCEPT, METADATA_ONLY);
    let stored: PartialObjectMeta<ManagedResource> = gate.call(what, client.request(request)).await?;
    // The status is what was sent, as far as the server knows its fields; the watch tells when it does not.
    Ok(ManagedResource { metadata: stored.metadata, spec: mr.spec.clone(), status: Some(status.clone()) })
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
