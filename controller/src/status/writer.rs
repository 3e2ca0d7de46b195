//! The writes to ManagedResources: finalizer, annotations, status.

use std::{borrow::Cow, fmt::Debug};

use holdfast_core::{
    api::{ManagedResource, Status},
    key::NamespacedName,
    names,
};
use holdfast_runtime::{api::Api, call::CallError};
use http::{HeaderValue, header};
use kube::{Client, Resource as _, api::Patch, core::PartialObjectMeta};
use serde::Serialize;
use serde_json::{Value, json};

use crate::target::{client, write_gate::Gate};

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
    // Of a large ManagedResource, a JSON patch costs the API server half as much as a merge patch.
    let operations = json!([
        { "op": "replace", "path": "/metadata/resourceVersion", "value": mr.metadata.resource_version },
        { "op": "add", "path": "/metadata/finalizers", "value": finalizers },
    ]);
    let what = "patch the finalizers of the ManagedResource";
    let patch: json_patch::Patch = serde_json::from_value(operations)
        .map_err(|error| CallError::Failed { what: what.to_owned(), cause: kube::Error::SerdeError(error) })?;
    patched(gate, client, mr, what, &Patch::Json::<()>(patch)).await
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
    patched(gate, client, mr, "patch the annotations of the ManagedResource", &Patch::Merge(patch)).await
}

/// Only the metadata comes back: the patch must be guarded, so that the rest is what we know.
async fn patched<P: Serialize + Debug>(
    gate: &Gate,
    client: &Client,
    mr: &ManagedResource,
    what: &str,
    patch: &Patch<P>,
) -> Result<ManagedResource, CallError> {
    let name = mr.key().name;
    let metadata = gate.call(what, api(client, mr).patch_metadata(&name, &client::params(), patch)).await?;
    Ok(ManagedResource { metadata: metadata.metadata, ..mr.clone() })
}

/// Writes the status, guarded by the resource version. Returns the ManagedResource as stored.
///
/// An update and no patch: of a large inventory, a patch costs the API server twice as much (measured). The server takes
/// nothing but the status from it.
///
/// # Errors
/// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time. With [`is_unknown_field`], the
/// CustomResourceDefinition does not keep `status.pending`.
pub async fn set_status(
    gate: &Gate,
    client: &Client,
    mr: &ManagedResource,
    status: &Status,
) -> Result<ManagedResource, CallError> {
    let what = "update the status of the ManagedResource";
    let NamespacedName { namespace, name } = mr.key();
    let has_pending = status.resources.iter().any(|reference| reference.pending);
    let update = Update {
        api_version: ManagedResource::api_version(&()),
        kind: ManagedResource::kind(&()),
        metadata: json!({ "name": name, "namespace": namespace, "resourceVersion": mr.metadata.resource_version }),
        spec: json!({ "secretRefs": [] }),
        status,
    };
    let request = serde_json::to_vec(&update).map_err(kube::Error::SerdeError).and_then(|body| {
        let path = api(client, mr).path(&name)?;
        // Objects are created only after this has named them. Where it would be dropped, it has to be refused.
        let validation = if has_pending { "Strict" } else { "Ignore" };
        let query = format!("fieldManager={}&fieldValidation={validation}", names::FIELD_MANAGER);
        http::Request::put(format!("{path}/status?{query}"))
            .header(header::CONTENT_TYPE, "application/json")
            // Of a large inventory, the answer would cost as much as the request.
            .header(header::ACCEPT, METADATA_ONLY)
            .body(body)
            .map_err(kube::Error::HttpError)
    });
    let request = request.map_err(|cause| CallError::Failed { what: what.to_owned(), cause })?;
    let stored: PartialObjectMeta<ManagedResource> = gate.call(what, client.request(request)).await?;
    // The status is what was sent, as far as the server knows its fields; the watch tells when it does not.
    Ok(ManagedResource { metadata: stored.metadata, spec: mr.spec.clone(), status: Some(status.clone()) })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Update<'a> {
    api_version: Cow<'a, str>,
    kind: Cow<'a, str>,
    metadata: Value,
    spec: Value,
    status: &'a Status,
}

/// Whether the server refused a field because its CustomResourceDefinition does not have it.
pub fn is_unknown_field(error: &CallError) -> bool {
    error.status().is_some_and(|status| status.code == 400 && status.message.contains("unknown field \"status."))
}

fn api(client: &Client, mr: &ManagedResource) -> Api<ManagedResource> {
    Api::namespaced(client.clone(), &mr.key().namespace)
}
