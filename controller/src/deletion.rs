//! Deletion of a ManagedResource: its objects by inventory, then its finalizer.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    plan, status,
};
use holdfast_runtime::call::CallError;

use crate::{
    execute::Removal,
    prune::pending_text,
    queue::Next,
    reconcile::{Reconciler, now},
    report,
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
        // Once: what is pending, which a later pass has written, would be wiped out and written again by each pass.
        let has_begun = mr.status.as_ref().is_some_and(status::is_marked_deleting);
        let mut mr = if has_begun { Arc::clone(mr) } else { self.write_deleting(mr, &[], keep).await? };
        if !keep {
            for wave in plan::deletion_waves(mr.inventory()) {
                let pending = self.delete_wave(&mr, &wave).await;
                if !pending.is_empty() {
                    mr = self.write_deleting(&mr, &pending, keep).await?;
                    tracing::debug!(managed_resource = %mr.key(), pending = pending.len(), "waiting for deletions");
                    return Ok(Next::After(self.pending_period));
                }
            }
        }
        let objects = mr.inventory().iter().map(ResourceReference::object_key).collect();
        for object in &objects {
            self.world.forget(object);
        }
        self.wake_waiting(&objects);
        match report::set_finalizer(&self.gate, &self.source, &mr, &self.finalizer, false).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => {
                tracing::info!(managed_resource = %mr.key(), objects = mr.inventory().len(), kept = keep, "deleted");
                Ok(Next::Done)
            }
        }
    }

    /// Deletes a wave side by side; returns what is still there. What another ManagedResource holds is left to it.
    async fn delete_wave(&self, mr: &ManagedResource, wave: &[&ResourceReference]) -> Vec<String> {
        let mut mine = wave.to_vec();
        mine.retain(|reference| !self.world.is_wanted_by_another(&reference.object_key(), &mr.key()));
        let jobs: Vec<_> = mine.iter().map(|reference| self.remove(mr, reference)).collect();
        let results: Vec<_> = stream::iter(jobs).buffered(WIDTH).collect().await;
        let mut pending = Vec::new();
        for (reference, result) in mine.into_iter().zip(results) {
            match result {
                Ok(Removal::Pending) => pending.push(pending_text(reference, None)),
                Ok(_) => {}
                Err(error) => pending.push(pending_text(reference, Some(&error))),
            }
        }
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
