//! Deletion of a ManagedResource, or its end with this controller: its objects by inventory, then its finalizer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    deletion::{self, Deletions, Leftover},
    key::{Gvk, NamespacedName, ObjectKey},
    status,
};
use holdfast_runtime::{api::Api, call::CallError};

use super::{Reconciler, now};
use crate::{
    prune::{orphan::Heir, teardown::TornDown},
    queue::Next,
    status::writer,
    target::{
        client,
        partial_object::{self, Metadata},
        slots::saying,
    },
};

/// Objects of ManagedResources in deletion that need not be looked at again. Of ten thousand objects one that hangs would have
/// all others asked for in each pass.
#[derive(Default)]
pub(crate) struct Finished(Mutex<BTreeMap<NamespacedName, BTreeSet<ObjectKey>>>);

impl Finished {
    fn of(&self, mr: &NamespacedName) -> BTreeSet<ObjectKey> {
        self.lock().get(mr).cloned().unwrap_or_default()
    }

    fn extend(&self, mr: &NamespacedName, objects: impl Iterator<Item = ObjectKey>) {
        let mut objects = objects.peekable();
        if objects.peek().is_some() {
            self.lock().entry(mr.clone()).or_default().extend(objects);
        }
    }

    /// The ManagedResource is gone, or lives on.
    pub(crate) fn forget(&self, mr: &NamespacedName) {
        self.lock().remove(mr);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespacedName, BTreeSet<ObjectKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
            return Ok(Next::After(self.early.pause(&mr.key())));
        }
        // Once: what is pending, which a later pass has written, would be wiped out and written again by each pass.
        let has_begun = mr.status.as_ref().is_some_and(status::is_marked_deleting);
        let begin = async { if has_begun { Ok(Arc::clone(mr)) } else { self.write_deleting(mr, &[], keep).await } };
        let (said, torn) = saying(begin, Box::pin(self.delete_objects(mr, keep))).await;
        let mr = said.transpose()?.unwrap_or_else(|| Arc::clone(mr));
        if !torn.pending.is_empty() {
            if !self.goes_with_home(&mr, &torn.leftovers).await {
                self.write_deleting(&mr, &torn.pending, keep).await?;
                tracing::debug!(managed_resource = %mr.key(), pending = torn.pending.len(), "waiting for deletions");
                return Ok(Next::After(torn.retry.unwrap_or(self.pending_period)));
            }
            let left = torn.leftovers.len();
            tracing::info!(managed_resource = %mr.key(), objects = left, "let go with its Namespace, which takes the objects along");
        }
        match writer::set_finalizer(&self.gate, &self.source, &mr, &self.finalizer, false).await {
            Err(error) if !error.is_not_found() => return Err(error),
            // So that no event of an object begins another pass.
            Ok(written) => drop(self.world.wrote(written)),
            Err(_) => {}
        }
        // After it was taken in as written: what it says of its objects is over.
        let objects = mr.inventory().iter().map(ResourceReference::object_key).collect();
        for object in &objects {
            if !self.world.is_wanted_by_another(object, &mr.key()) {
                self.world.forget(object);
            }
            self.retries.forget(object);
        }
        self.finished.forget(&mr.key());
        // They are free now, also where the ManagedResource lives on with another controller.
        self.wake_waiting(&objects);
        let what = if mr.is_deleting() { "deleted" } else { "let go; the controller of its new class takes over" };
        tracing::info!(managed_resource = %mr.key(), objects = mr.inventory().len(), kept = keep, "{what}");
        Ok(Next::Done)
    }

    /// Deletes in the order that the objects need. What another ManagedResource holds is left to it, and Namespaces of the
    /// cluster itself are let go.
    async fn delete_objects(&self, mr: &ManagedResource, keep: bool) -> TornDown {
        if keep {
            return TornDown::default();
        }
        let (key, finished) = (mr.key(), self.finished.of(&mr.key()));
        let mine = |reference: &&ResourceReference| {
            let object = reference.object_key();
            !finished.contains(&object) && !self.world.is_wanted_by_another(&object, &key)
        };
        let (spared, deletable): (Vec<_>, Vec<_>) = mr
            .inventory()
            .iter()
            .filter(mine)
            .partition(|reference| deletion::is_cluster_namespace(&reference.object_key()));
        let deletions = Deletions::with_managed_resource(deletable, |object| self.world.is_finalized(object));
        let mut torn = self.tear_down(mr, deletions).await;
        self.finished.extend(&key, torn.finished.iter().map(|(reference, _)| reference.object_key()));
        let released = self.release(mr, spared.iter().copied(), Heir::Cluster).await;
        if !released.failed.is_empty() {
            let kept = spared.iter().filter(|reference| !released.dropped.contains(reference));
            let leftover =
                |reference: &&ResourceReference| Leftover { object: reference.object_key(), is_terminating: false };
            torn.leftovers.extend(kept.map(leftover));
            torn.pending.extend(released.failed);
            torn.retry.get_or_insert(self.pending_period);
        }
        torn
    }

    /// Whether all that is left goes with the Namespace that the ManagedResource lives in, which waits for our finalizer.
    async fn goes_with_home(&self, mr: &ManagedResource, leftovers: &[Leftover]) -> bool {
        let home = mr.key().namespace;
        let holds_finalizers = |namespace: &str| {
            let here = |key: &NamespacedName| key.namespace == namespace;
            let is_deleting = |key: &NamespacedName| self.world.mr(key).is_some_and(|mr| mr.is_deleting());
            self.world.keys().iter().any(|key| here(key) && is_deleting(key))
        };
        mr.is_deleting()
            && deletion::goes_with_home(leftovers, &home, holds_finalizers)
            && self.is_terminating_in_both(&home).await
    }

    /// Whether a Namespace is being deleted and is the same one in source and target.
    async fn is_terminating_in_both(&self, name: &str) -> bool {
        let mut uids = Vec::new();
        for client in [&self.source, &self.target] {
            let api: Api<Metadata> = partial_object::api(client, &Gvk::new("v1", "Namespace"), "namespaces", "");
            match client::look(&self.gate, &api, name).await {
                Ok(Some(live)) if live.deletion_timestamp.is_some() => uids.push(live.uid),
                Ok(_) => return false,
                Err(error) => {
                    tracing::debug!(namespace = name, %error, "cannot tell whether the Namespace is being deleted");
                    return false;
                }
            }
        }
        uids.windows(2).all(|pair| pair.first() == pair.last())
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
