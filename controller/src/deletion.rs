//! Deletion of a ManagedResource, or its end with this controller: its objects by inventory, then its finalizer.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    plan, status,
};
use holdfast_runtime::call::CallError;

use crate::{
    prune::pending_text,
    queue::Next,
    reconcile::{Reconciler, UNTIL_PLANNED, now},
    removal::Removal,
    report,
    turn::saying,
};

/// Objects deleted at a time in one ManagedResource; requests are bounded over all besides.
const WIDTH: usize = 16;

impl Reconciler {
    /// Deletes the objects, each wave gone before the next begins, and lets the ManagedResource go. Works from the inventory
    /// alone, so also when its Secrets are gone.
    pub(crate) async fn delete(&self, mr: &Arc<ManagedResource>) -> Result<Next, CallError> {
        if !mr.metadata.finalizers.as_ref().is_some_and(|list| list.contains(&self.finalizer)) {
            return Ok(Next::Done);
        }
        let keep = mr.spec.keep_objects.unwrap_or_default();
        if !keep && !self.world.is_everyone_planned() {
            // Another one may want what this one holds, and has not said so yet.
            return Ok(Next::After(UNTIL_PLANNED));
        }
        // Once: what is pending, which a later pass has written, would be wiped out and written again by each pass.
        let has_begun = mr.status.as_ref().is_some_and(status::is_marked_deleting);
        let begin = async { if has_begun { Ok(Arc::clone(mr)) } else { self.write_deleting(mr, &[], keep).await } };
        let (said, pending) = saying(begin, self.delete_objects(mr, keep)).await;
        let mr = said.transpose()?.unwrap_or_else(|| Arc::clone(mr));
        if !pending.is_empty() {
            self.write_deleting(&mr, &pending, keep).await?;
            tracing::debug!(managed_resource = %mr.key(), pending = pending.len(), "waiting for deletions");
            return Ok(Next::After(self.pending_period));
        }
        let objects = mr.inventory().iter().map(ResourceReference::object_key).collect();
        for object in &objects {
            self.world.forget(object);
        }
        match report::set_finalizer(&self.gate, &self.source, &mr, &self.finalizer, false).await {
            Err(error) if !error.is_not_found() => return Err(error),
            // So that no event of an object begins another pass.
            Ok(written) => drop(self.world.wrote(written)),
            Err(_) => {}
        }
        // They are free now, also where the ManagedResource lives on with another controller.
        self.wake_waiting(&objects);
        let what = if mr.is_deleting() { "deleted" } else { "let go; the controller of its new class takes over" };
        tracing::info!(managed_resource = %mr.key(), objects = mr.inventory().len(), kept = keep, "{what}");
        Ok(Next::Done)
    }

    /// Deletes wave by wave; returns what is still there of the first wave that is not gone.
    async fn delete_objects(&self, mr: &ManagedResource, keep: bool) -> Vec<String> {
        if keep {
            return Vec::new();
        }
        for wave in plan::deletion_waves(mr.inventory()) {
            let pending = self.delete_wave(mr, &wave).await;
            if !pending.is_empty() {
                return pending;
            }
        }
        Vec::new()
    }

    /// Deletes a wave side by side; returns what is still there. What another ManagedResource holds is left to it.
    async fn delete_wave(&self, mr: &ManagedResource, wave: &[&ResourceReference]) -> Vec<String> {
        let mut mine = wave.to_vec();
        mine.retain(|reference| !self.world.is_wanted_by_another(&reference.object_key(), &mr.key()));
        let jobs: Vec<_> =
            mine.iter().map(|reference| async { (*reference, self.remove(mr, reference).await) }).collect();
        let results: Vec<_> = stream::iter(jobs).buffer_unordered(WIDTH).collect().await;
        let mut pending = Vec::new();
        for (reference, result) in results {
            match result {
                Ok(Removal::Pending) => pending.push(pending_text(reference, None)),
                Ok(_) => {}
                Err(error) => pending.push(pending_text(reference, Some(&error))),
            }
        }
        pending.sort_unstable();
        pending
    }

    async fn write_deleting(
        &self,
        mr: &Arc<ManagedResource>,
        pending: &[String],
        keep: bool,
    ) -> Result<Arc<ManagedResource>, CallError> {
        let mut status = mr.status.clone().unwrap_or_default();
        status::deleting(&mut status, pending, keep, &now());
        self.write_status(mr, &status).await
    }
}
