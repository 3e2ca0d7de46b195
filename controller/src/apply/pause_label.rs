//! The label of objects that are paused: it says that nothing protects them.

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    key::ObjectKey,
    manifest::{annotations::ManagementMode, discovery::Place},
    names, pause,
};

use super::Applier;
use crate::target::{
    client::{Endpoint, JsonPatch, resource_of},
    discovery::Snapshot,
    error::ApplyError,
};

impl Applier {
    /// Labels objects of the inventory that are paused. False if that did not succeed with all.
    pub(crate) async fn label_paused(
        &self,
        mr: &ManagedResource,
        snapshot: &Snapshot,
        is_paused: impl Fn(&ObjectKey) -> bool,
    ) -> bool {
        let is_managed = |reference: &&ResourceReference| {
            ManagementMode::of(|name| reference.annotations.get(name)).is_some_and(ManagementMode::is_managed)
        };
        let managed = mr.inventory().iter().filter(|reference| !reference.pending).filter(is_managed);
        let jobs: Vec<_> = managed
            .map(|reference| (reference, reference.object_key()))
            .filter(|(_, object)| is_paused(object) && !self.state.objects.has_pause_label(object))
            .map(|(reference, object)| async move {
                let label = || self.label_one(reference, &object, snapshot);
                let done = Box::pin(self.target.requests.with_slot(&resource_of(reference), label)).await;
                done.map_err(|error| {
                    tracing::warn!(%object, error = error.words(&object), "cannot set the pause label");
                })
            })
            .collect();
        stream::iter(jobs).buffer_unordered(self.target.width).all(|done| async move { done.is_ok() }).await
    }

    async fn label_one(
        &self,
        reference: &ResourceReference,
        object: &ObjectKey,
        snapshot: &Snapshot,
    ) -> Result<(), ApplyError> {
        // That its label changes is no news.
        let _writing = self.state.objects.begin_write(object);
        let (Some(uid), Place::At(gvk, info)) =
            (self.state.objects.uid(object), snapshot.kinds.look_up(&reference.gvk(), &reference.namespace))
        else {
            return Ok(());
        };
        let patch =
            JsonPatch { what: "mark as paused", operations: pause::set_label(&uid), manager: names::PAUSE_MANAGER };
        match self.target.client.patch_json(patch, &Endpoint::new(&gvk, info), object).await {
            // Gone, another object by now, or without any label: then nothing says that it is protected.
            Err(ApplyError::Call(error)) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(ApplyError::Call(error)) if error.status().is_some_and(|status| status.code == 422) => Ok(()),
            result => result.map(drop),
        }
    }
}
