//! Writing objects whose manifests the server refuses to apply: create, later merge-patch.

use holdfast_core::{
    field_ownership::{Reach, merge_patch, preserve::Left},
    manifest::{Desired, discovery::ApiInfo},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, api::Patch};
use serde_json::{Value, json};

use crate::target::{
    client::{ApplyError, create, look, params},
    partial_object::api,
    write_gate::Gate,
};

impl ApplyError {
    /// Whether a plain write may succeed where this apply did not.
    pub fn calls_for_fallback(&self) -> bool {
        let Self::Call(error) = self else { return false };
        error.status().is_some_and(|status| merge_patch::is_called_for(status.code, &status.message))
    }
}

/// Writes the object without apply, and returns its metadata. The live metadata is read first: it says what is to be removed,
/// and whether the object is there at all. The server drops fields that it does not know and keeps duplicates.
///
/// # Errors
/// The server refuses, or no answer comes in time.
pub async fn write(
    gate: &Gate,
    client: &Client,
    info: &ApiInfo,
    desired: &Desired,
    reach: &Reach,
    left: Left<'_>,
) -> Result<ObjectMeta, ApplyError> {
    let (kind, namespace, name) = (desired.key.kind(), desired.key.namespace(), desired.key.name());
    let api = api(client, &desired.gvk, &info.plural, namespace);
    let Some(live) = look(gate, &api, name).await? else { return create(gate, client, info, desired, false).await };
    let managed_fields = json!(live.managed_fields.unwrap_or_default());
    let managed_fields: &[Value] = managed_fields.as_array().map_or(&[], Vec::as_slice);
    let mut patch = merge_patch::merge_patch(&desired.body.value(), managed_fields, kind, reach, left);
    patch["metadata"]["uid"] = json!(live.uid);
    Ok(gate.call("patch", api.patch(name, &params(), &Patch::Merge(&patch))).await?.metadata)
}
