//! Letting objects go that their manifests take out of our hands (annotation mode: Ignore): our marks come off, and nothing
//! else changes (grm-behaviour §8.4).

use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    manifest, names,
    plan::Plan,
};
use holdfast_runtime::call::CallError;
use kube::{
    Api,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::json;

use crate::{
    events::Reason,
    execute,
    prune::{Pruned, served_as},
    reconcile::Reconciler,
};

/// How often an object is looked at again that somebody else writes at the same moment.
const TRIES: usize = 5;

impl Reconciler {
    /// Releases what the plan says. What could not be released stays in the inventory.
    pub(crate) async fn release(&self, mr: &ManagedResource, plan: &Plan, pruned: &mut Pruned) {
        let mut released = Vec::new();
        for reference in &plan.released {
            let object = reference.object_key();
            match self.release_one(mr, reference).await {
                Ok(was_ours) => {
                    if was_ours {
                        released.push(object.to_string());
                    }
                    self.world.forget(&object);
                    pruned.dropped.push(reference.clone());
                }
                Err(error) => pruned.unreleased.push(format!("{object}: {error}")),
            }
        }
        if !released.is_empty() {
            let objects = released.join(", ");
            tracing::info!(managed_resource = %mr.key(), objects, "released");
            let note = format!("Left to others, because their manifests say mode: Ignore: {objects}");
            self.events.publish(mr, Reason::Released, &note);
        }
    }

    /// Takes our marks off an object, if they are those of this ManagedResource. Returns whether they were.
    async fn release_one(&self, mr: &ManagedResource, reference: &ResourceReference) -> Result<bool, CallError> {
        let snapshot = self.discoverer.current().await?;
        // Without a kind there are no objects of it.
        let Some((plural, gvk)) = served_as(reference, &snapshot) else { return Ok(false) };
        let api = execute::api(&self.target, &gvk, &plural, &reference.namespace);
        let origin = manifest::origin(&self.marks.cluster_id, &mr.key());
        let object = reference.object_key();
        let _writing = self.world.writing(&object);
        let mut tries = 0;
        loop {
            let taken = self.in_turn(CallError::is_too_busy, || self.take_marks_off(&api, &reference.name, &origin));
            match taken.await {
                Err(error) if error.is_not_found() => return Ok(false),
                Err(error) if error.is_conflict() && tries < TRIES => tries += 1,
                result => return result,
            }
        }
    }

    async fn take_marks_off(&self, api: &Api<DynamicObject>, name: &str, origin: &str) -> Result<bool, CallError> {
        let live = self.gate.call("get", api.get_metadata(name)).await?.metadata;
        let found = live.annotations.as_ref().and_then(|annotations| annotations.get(names::ANNOTATION_ORIGIN));
        if found.is_none_or(|found| found != origin) {
            return Ok(false);
        }
        let patch = json!({ "metadata": {
            "uid": live.uid, "resourceVersion": live.resource_version,
            "annotations": { names::ANNOTATION_ORIGIN: null, names::ANNOTATION_DESCRIPTION: null },
            "labels": { names::LABEL_PROTECTION: null },
        }});
        let params = PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.gate.call("release", api.patch_metadata(name, &params, &Patch::Merge(&patch))).await?;
        Ok(true)
    }
}
