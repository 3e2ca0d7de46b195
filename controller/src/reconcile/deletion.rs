//! Deletion of a ManagedResource, or its end with this controller: its objects by inventory, then its finalizer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use holdfast_core::{
    api::{ManagedResource, ResourceReference, StatusPhase},
    deletion::{self, Deletions, Leftover},
    key::{Gvk, NamespacedName, ObjectKey},
    status,
};
use holdfast_runtime::call::CallError;

use super::{
    Reconciler,
    announce::{announce_if_slow, now},
};
use crate::{
    prune::{Recipient, TeardownResult},
    queue::Next,
    status::source::Presence,
    target::client::Endpoint,
};

/// Objects of ManagedResources in deletion that need not be looked at again. Of ten thousand objects one that hangs would have
/// all others asked for in each pass.
#[derive(Default)]
pub(super) struct Finished(Mutex<BTreeMap<NamespacedName, BTreeSet<ObjectKey>>>);

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
    pub(super) fn forget(&self, mr: &NamespacedName) {
        self.lock().remove(mr);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespacedName, BTreeSet<ObjectKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconciler {
    /// Deletes the objects, each wave gone before the next begins, and lets the ManagedResource go. Works from the inventory
    /// alone, so also when its Secrets are gone.
    pub(super) async fn delete(&self, mr: &Arc<ManagedResource>) -> Result<Next, CallError> {
        let finalizer = self.policy.finalizer();
        if !mr.metadata.finalizers.as_ref().is_some_and(|list| list.contains(&finalizer)) {
            return Ok(Next::Done);
        }
        let keep = mr.spec.keep_objects.unwrap_or_default();
        if !keep && !self.state.managed_resources.are_all_planned() {
            // Another one may want what this one holds, and has not said so yet.
            return Ok(Next::After(self.memory.prune_barrier.pause(&mr.key())));
        }
        // Once: what is pending, which a later pass has written, would be wiped out and written again by each pass.
        let has_begun = mr.status.as_ref().is_some_and(|status| status.phase == Some(StatusPhase::Deleting));
        let begin = async { if has_begun { Ok(Arc::clone(mr)) } else { self.write_deleting(mr, &[], keep).await } };
        let (announced, teardown) = announce_if_slow(begin, Box::pin(self.delete_objects(mr, keep))).await;
        let mr = announced.transpose()?.unwrap_or_else(|| Arc::clone(mr));
        if !teardown.pending.is_empty() {
            if !self.goes_with_home(&mr, &teardown.leftovers).await {
                self.write_deleting(&mr, &teardown.pending, keep).await?;
                tracing::debug!(managed_resource = %mr.key(), pending = teardown.pending.len(), "waiting for deletions");
                return Ok(Next::After(teardown.retry.unwrap_or(self.policy.pending_period)));
            }
            tracing::info!(managed_resource = %mr.key(), objects = teardown.leftovers.len(), "removed the finalizer: the Namespace is being deleted and takes the objects with it");
        }
        match self.status.set_finalizer(&mr, &finalizer, Presence::Absent).await {
            Err(error) if !error.is_not_found() => return Err(error),
            // What was written is known, so that no event of an object begins another pass.
            Ok(_) | Err(_) => {}
        }
        // After it was taken in as written: what it says of its objects is over.
        let objects = mr.inventory().iter().map(ResourceReference::object_key).collect();
        for object in &objects {
            if !self.state.managed_resources.is_desired_by_another(object, &mr.key()) {
                self.state.forget_object(object);
            }
            self.stages.pruner.forget_refusal(object);
        }
        self.memory.finished.forget(&mr.key());
        // They are free now, also where the ManagedResource lives on with another controller.
        self.wake_waiting(&objects);
        let what = if mr.is_deleting() {
            "deleted"
        } else {
            "removed the finalizer; the controller of the new class takes over"
        };
        tracing::info!(managed_resource = %mr.key(), objects = mr.inventory().len(), kept = keep, "{what}");
        Ok(Next::Done)
    }

    /// Deletes in the order that the objects need. What another ManagedResource holds is left to it, and Namespaces of the
    /// cluster itself are let go.
    async fn delete_objects(&self, mr: &ManagedResource, keep: bool) -> TeardownResult {
        if keep {
            return TeardownResult::default();
        }
        let (key, finished) = (mr.key(), self.memory.finished.of(&mr.key()));
        let mine = |reference: &&ResourceReference| {
            let object = reference.object_key();
            !finished.contains(&object) && !self.state.managed_resources.is_desired_by_another(&object, &key)
        };
        let (spared, deletable): (Vec<_>, Vec<_>) = mr
            .inventory()
            .iter()
            .filter(mine)
            .partition(|reference| deletion::is_cluster_namespace(&reference.object_key()));
        let deletions = Deletions::with_managed_resource(deletable, |object| self.state.objects.is_finalized(object));
        let mut teardown = self.stages.pruner.tear_down(mr, deletions).await;
        self.memory.finished.extend(&key, teardown.finished.iter().map(|finished| finished.reference.object_key()));
        let orphaned = self.stages.pruner.orphan(mr, spared.iter().copied(), Recipient::Cluster).await;
        if !orphaned.failed.is_empty() {
            let unorphaned = spared.iter().filter(|reference| !orphaned.dropped.contains(reference));
            let leftover =
                |reference: &&ResourceReference| Leftover { object: reference.object_key(), is_terminating: false };
            teardown.leftovers.extend(unorphaned.map(leftover));
            teardown.pending.extend(orphaned.failed);
            teardown.retry.get_or_insert(self.policy.pending_period);
        }
        teardown
    }

    /// Whether all that is left goes with the Namespace that the ManagedResource lives in, which waits for our finalizer.
    async fn goes_with_home(&self, mr: &ManagedResource, leftovers: &[Leftover]) -> bool {
        let home = mr.key().namespace;
        let holds_finalizers = |namespace: &str| {
            let here = |key: &NamespacedName| key.namespace == namespace;
            let is_deleting =
                |key: &NamespacedName| self.state.managed_resources.get(key).is_some_and(|mr| mr.is_deleting());
            self.state.managed_resources.keys().iter().any(|key| here(key) && is_deleting(key))
        };
        mr.is_deleting()
            && deletion::goes_with_home(leftovers, &home, holds_finalizers)
            && self.is_terminating_in_both(&home).await
    }

    /// Whether a Namespace is being deleted and is the same one in source and target.
    async fn is_terminating_in_both(&self, name: &str) -> bool {
        let gvk = Gvk::new("v1", "Namespace");
        let endpoint = Endpoint { gvk, plural: "namespaces".to_owned() };
        let object = ObjectKey::new("", "Namespace", "", name);
        let mut uids = Vec::new();
        for in_target in [false, true] {
            let live = if in_target {
                self.target.client.get(&endpoint, &object).await
            } else {
                self.status.source().get_namespace(name).await
            };
            match live {
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
        self.status.write(mr, &status).await
    }
}
