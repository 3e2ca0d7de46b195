//! Deleting what is not declared any more.

use crate::{
    discover::Snapshot,
    events::Reason,
    reconcile::Reconciler,
    removal::{Candidate, Removal, RemovalError},
};
use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    key::Gvk,
    manifest,
    plan::Plan,
};

/// How often an object is tried again after asking what is served.
const TRIES: usize = 5;

/// What became of the objects that are not declared any more.
#[derive(Default)]
pub(crate) struct Pruned {
    /// References that leave the inventory.
    pub(crate) dropped: Vec<ResourceReference>,
    /// One text for each object that is still there.
    pub(crate) pending: Vec<String>,
    /// Objects that were deleted and are gone.
    pub(crate) deleted: usize,
    /// Objects that could not be taken out of our hands, one text each.
    pub(crate) unreleased: Vec<String>,
    /// Objects that stay because others could not be applied, and the settings want it so.
    pub(crate) held_back: usize,
}

impl Reconciler {
    /// Deletes what is not declared any more, side by side.
    pub(crate) async fn prune(&self, mr: &ManagedResource, plan: &Plan) -> Pruned {
        let mut pruned = Pruned { dropped: plan.handed_over.clone(), ..Pruned::default() };
        let key = mr.key();
        let is_paused = |reference: &ResourceReference| self.world.is_paused(&key, &reference.object_key());
        // Those that were paused since the plan was made stay where they are.
        let due = plan.prune.iter().filter(|reference| !is_paused(reference));
        let jobs: Vec<_> = due.map(|reference| async move { (reference, self.remove(mr, reference).await) }).collect();
        let results: Vec<_> = stream::iter(jobs).buffer_unordered(self.width).collect().await;
        let mut deleted = Vec::new();
        for (reference, result) in results {
            match result {
                Ok(Removal::Pending) => pruned.pending.push(pending_text(reference, None)),
                Err(error) => pruned.pending.push(pending_text(reference, Some(&error))),
                Ok(removal) => {
                    if matches!(removal, Removal::Deleted | Removal::Finalized) {
                        deleted.push(reference.object_key().to_string());
                    }
                    self.world.forget(&reference.object_key());
                    pruned.dropped.push(reference.clone());
                }
            }
        }
        deleted.sort_unstable();
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
    ) -> Result<Removal, RemovalError> {
        let object = reference.object_key();
        if self.is_left_to_collector(mr, reference).await? {
            return Ok(Removal::Kept);
        }
        // That it goes is no news.
        let writing = self.world.writing(&object);
        let origin = manifest::origin(&self.marks.cluster_id, &mr.key());
        let mut snapshot = self.discoverer.current().await?;
        let mut tries = 0;
        let removal = loop {
            // Without a kind there are no objects of it.
            let Some((plural, gvk)) = served_as(reference, &snapshot) else { break Removal::Gone };
            let candidate = Candidate {
                gate: &self.gate,
                client: &self.target,
                plural: &plural,
                gvk: &gvk,
                reference,
                origin: &origin,
                with_claims: mr.spec.delete_persistent_volume_claims.unwrap_or_default(),
            };
            let removal = self.in_turn(RemovalError::is_too_busy, || async {
                candidate.remove(self.world.latest(&object).as_ref()).await
            });
            match removal.await {
                Err(error) if error.is_not_served() && tries < TRIES => snapshot = self.discoverer.refresh().await?,
                result => break result?,
            }
            tries += 1;
        };
        drop(writing);
        if matches!(removal, Removal::Deleted | Removal::Finalized) {
            self.metrics.prunes.inc();
        }
        let news = match removal {
            Removal::NotOurs => {
                Some((Reason::NotOurs, "is not deleted: it carries nothing of ours, somebody else created it"))
            }
            Removal::Kept => Some((Reason::Kept, "is not deleted: its annotation keep-object says so")),
            Removal::Finalized => {
                Some((Reason::Finalized, "was held by finalizers for longer than it may; they were removed"))
            }
            _ => None,
        };
        if let Some((reason, what)) = news {
            self.events.publish(mr, reason, &format!("{object} {what}"));
        }
        Ok(removal)
    }
}

/// How the kind of an object is served now; the version of the inventory may not be any more, and the object is the same in
/// the one that is.
pub(crate) fn served_as(reference: &ResourceReference, snapshot: &Snapshot) -> Option<(String, Gvk)> {
    let gvk = reference.gvk();
    let served = |gvk: Gvk| Some((snapshot.kinds.get(&gvk)?.plural.clone(), gvk));
    served(gvk.clone()).or_else(|| served(snapshot.kinds.preferred(&gvk.group_kind())?))
}

/// The original's words (grm-behaviour §8.3).
pub(crate) fn pending_text(reference: &ResourceReference, error: Option<&RemovalError>) -> String {
    let ResourceReference { api_version, kind, namespace, name, .. } = reference;
    let namespace = if namespace.is_empty() && kind != "Namespace" { "default" } else { namespace };
    let text = format!("deletion of old resource \"{api_version}/{kind}/{namespace}/{name}\" is still pending");
    error.map_or_else(|| text.clone(), |error| format!("{text}: {error}"))
}
