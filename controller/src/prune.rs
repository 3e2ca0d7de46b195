//! Deleting what is not declared any more.

use crate::{
    background::{is_answer, unanswered},
    discover::Snapshot,
    events::Reason,
    reconcile::Reconciler,
    removal::{Candidate, Removal, RemovalError},
};
use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    key::{Gvk, NamespacedName},
    manifest,
    plan::Plan,
};
use holdfast_runtime::traffic::Resource;

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
        // That it goes is no news.
        let writing = self.world.writing(&object);
        let origin = manifest::origin(&self.marks.cluster_id, &mr.key());
        let mut snapshot = self.discoverer.current().await?;
        let mut tries = 0;
        let removal = loop {
            // Without a kind there are no objects of it.
            let Some((plural, gvk)) = served_as(reference, &snapshot) else { break Removal::Gone };
            let with_claims = mr.spec.delete_persistent_volume_claims.unwrap_or_default();
            match self.remove_patiently(&mr.key(), reference, (plural, gvk), &origin, with_claims).await {
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

impl Reconciler {
    /// One attempt. Waits no longer than the resource deserves.
    async fn remove_patiently(
        &self,
        mr: &NamespacedName,
        reference: &ResourceReference,
        served: (String, Gvk),
        origin: &str,
        with_claims: bool,
    ) -> Result<Removal, RemovalError> {
        let Some(this) = self.this.upgrade() else { return Ok(Removal::Pending) };
        let (object, resource) = (reference.object_key(), Resource::new(&served.1.group, &served.0));
        let (reference, origin, asked) = (reference.clone(), origin.to_owned(), resource.clone());
        let work = async move {
            let (object, (plural, gvk)) = (reference.object_key(), served);
            let (gate, client) = (&this.gate, &this.target);
            let (plural, gvk, reference, origin) = (&*plural, &gvk, &reference, &*origin);
            let candidate = Candidate { gate, client, plural, gvk, reference, origin, with_claims };
            let attempt = || async { candidate.remove(this.world.latest(&object).as_ref()).await };
            Box::pin(this.in_turn(&asked, RemovalError::call, attempt)).await
        };
        // The next pass sees what has become of it.
        let late =
            |_: &Self, removed: Result<_, RemovalError>| is_answer(removed.as_ref().err().and_then(RemovalError::call));
        let removed = self.patiently(mr, &object, &resource, Box::pin(work), late).await;
        let removed = removed.unwrap_or_else(|hold| Err(unanswered("delete", hold).into()));
        if removed.is_err() {
            self.waits_for(mr, &resource);
        }
        removed
    }
}

/// What requests for an object are about.
pub(crate) fn resource_of(reference: &ResourceReference) -> Resource {
    Resource::new(reference.gvk().group, reference.resource.as_deref().unwrap_or_default())
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
