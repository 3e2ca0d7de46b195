//! Writing objects whose manifests the server refuses to apply: create, later merge-patch.

use std::marker::PhantomData;

use holdfast_core::{
    digest::Key, discovery::ApiInfo, drift::Observed, fallback, foreign::Reach, key::ObjectKey, manifest::Desired,
    names, preserve::Left,
};
use kube::{
    Client,
    api::{Patch, PatchParams, PostParams},
    core::{DynamicObject, PartialObjectMeta},
};
use serde_json::{Value, json};

use crate::{
    execute::{ApplyError, api},
    gate::Gate,
    targets::observed,
};

impl ApplyError {
    /// Whether a plain write may succeed where this apply did not.
    pub fn calls_for_fallback(&self) -> bool {
        let Self::Call(error) = self else { return false };
        error.status().is_some_and(|status| fallback::is_called_for(status.code, &status.message))
    }
}

/// Writes the object without apply. The live metadata is read first: it says what is to be removed, and whether the object
/// is there at all. The server drops fields that it does not know and keeps duplicates.
///
/// # Errors
/// The server refuses, or no answer comes in time.
pub async fn write(
    gate: &Gate,
    client: &Client,
    key: &Key,
    info: &ApiInfo,
    desired: &Desired,
    reach: &Reach,
    left: Left<'_>,
) -> Result<Observed, ApplyError> {
    let ObjectKey { kind, namespace, name, .. } = &desired.key;
    let api = api(client, &desired.gvk, &info.plural, namespace);
    let live = match gate.call("get", api.get_metadata(name)).await {
        Ok(live) => live,
        Err(error) if error.is_not_found() => {
            let object: DynamicObject = serde_json::from_value(desired.body.value()).map_err(ApplyError::body)?;
            let params = PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
            let created = gate.call("create", api.create(&params, &object)).await?;
            let metadata = PartialObjectMeta { types: None, metadata: created.metadata, _phantom: PhantomData };
            return Ok(observed(&metadata, kind, desired.preserve, reach, key));
        }
        Err(error) => return Err(error.into()),
    };
    let managed_fields = json!(live.metadata.managed_fields.unwrap_or_default());
    let managed_fields: &[Value] = managed_fields.as_array().map_or(&[], Vec::as_slice);
    let mut patch = fallback::merge_patch(&desired.body.value(), managed_fields, kind, reach, left);
    patch["metadata"]["uid"] = json!(live.metadata.uid);
    let params = PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patched = gate.call("patch", api.patch_metadata(name, &params, &Patch::Merge(&patch))).await?;
    Ok(observed(&patched, kind, desired.preserve, reach, key))
}
