//! Deleting what is not declared any more.

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    plan::Plan,
};
use holdfast_runtime::call::CallError;

use crate::{
    events::Reason,
    execute::{self, Removal},
    reconcile::Reconciler,
};

/// What became of the objects that are not declared any more.
#[derive(Default)]
pub(crate) struct Pruned {
    /// References that leave the inventory.
    pub(crate) dropped: Vec<ResourceReference>,
    /// One text for each object that is still there.
    pub(crate) pending: Vec<String>,
    /// Objects that were deleted and are gone.
    pub(crate) deleted: usize,
}

impl Reconciler {
    /// Deletes what is not declared any more, side by side.
    pub(crate) async fn prune(&self, mr: &ManagedResource, plan: &Plan) -> Pruned {
        let mut pruned = Pruned { dropped: plan.handed_over.clone(), ..Pruned::default() };
        let jobs: Vec<_> = plan.prune.iter().map(|reference| self.remove(mr, reference)).collect();
        let results: Vec<_> = stream::iter(jobs).buffered(self.width).collect().await;
        let mut deleted = Vec::new();
        for (reference, result) in plan.prune.iter().zip(results) {
            match result {
                Ok(Removal::Pending) => pruned.pending.push(pending_text(reference, None)),
                Err(error) => pruned.pending.push(pending_text(reference, Some(&error))),
                Ok(removal) => {
                    if removal == Removal::Deleted {
                        deleted.push(reference.object_key().to_string());
                    }
                    self.world.forget(&reference.object_key());
                    pruned.dropped.push(reference.clone());
                }
            }
        }
        pruned.deleted = deleted.len();
        if !deleted.is_empty() {
            tracing::info!(managed_resource = %mr.key(), objects = deleted.join(", "), "pruned");
            self.events.publish(
                mr,
                Reason::Pruned,
                &format!("Deleted because it is not declared any more: {}", deleted.join(", ")),
            );
        }
        pruned.pending.sort();
        pruned
    }

    /// Deletes one object of the inventory.
    pub(crate) async fn remove(
        &self,
        mr: &ManagedResource,
        reference: &ResourceReference,
    ) -> Result<Removal, CallError> {
        let gvk = reference.gvk();
        let mut plural = reference.resource.clone();
        if plural.is_none() {
            let snapshot = self.discoverer.current().await?;
            plural = snapshot.kinds.get(&gvk).map(|info| info.plural.clone());
        }
        // Without a kind there are no objects of it.
        let Some(plural) = plural else { return Ok(Removal::Gone) };
        let _permit = self.requests.acquire().await;
        let removal =
            execute::remove(&self.gate, &self.target, &plural, reference, &mr.key(), &self.marks.cluster_id).await?;
        match removal {
            Removal::Deleted => drop(self.metrics.prunes.inc()),
            Removal::NotOurs => {
                let note = format!(
                    "{} is not deleted: it carries nothing of ours, somebody else created it",
                    reference.object_key()
                );
                self.events.publish(mr, Reason::NotOurs, &note);
            }
            _ => {}
        }
        Ok(removal)
    }
}

/// The original's words (grm-behaviour §8.3).
pub(crate) fn pending_text(reference: &ResourceReference, error: Option<&CallError>) -> String {
    let ResourceReference { api_version, kind, namespace, name, .. } = reference;
    let text = format!("deletion of old resource \"{api_version}/{kind}/{namespace}/{name}\" is still pending");
    error.map_or_else(|| text.clone(), |error| format!("{text}: {error}"))
}
