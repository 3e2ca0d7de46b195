//! Taking in ManagedResources: as the server tells them, and as we wrote them.

use std::sync::Arc;

use holdfast_core::{
    api::ManagedResource,
    inventory::responsibility::{Responsibility, has_finalizer},
    key::NamespacedName,
};

use super::{ClusterState, foreign_crd, managed_resources::Inner};

impl ClusterState {
    /// Takes in a ManagedResource as the server tells it; false when it is not newer than what is known, such as the echo of
    /// our own write, nor any concern of ours.
    pub(crate) fn upsert(&self, mut mr: ManagedResource) -> bool {
        let key = mr.key();
        let is_ours = self.managed_resources.responsibility_of(&mr) != Responsibility::Foreign;
        let mut inner = self.managed_resources.lock();
        if is_ours && has_observations(&mr) && !has_finalizer(&mr, self.managed_resources.class()) {
            inner.inherited.insert(key.clone());
        }
        if inner.inherited.contains(&key) {
            mr = without_observations(mr);
        }
        // Fields of ours that the server tells of are kept by it. Only it can say so: what we wrote is no evidence.
        if foreign_crd::has_fields(mr.inventory()) {
            self.foreign_crd.set_retained(&key);
        }
        let before = inner.mrs.get(&key).cloned();
        if let Some(before) = &before {
            let is_same_version = before.metadata.resource_version == mr.metadata.resource_version;
            let drops_fields = foreign_crd::drops_fields(before.inventory(), mr.inventory());
            if is_same_version && drops_fields {
                self.foreign_crd.add_affected(&key);
            }
            if !is_newer(&mr, before) {
                return false;
            }
            if self.foreign_crd.is_present() {
                if drops_fields {
                    self.foreign_crd.add_affected(&key);
                }
                foreign_crd::restore(&mut mr, before);
            }
        }
        let was_ours =
            before.is_some_and(|before| self.managed_resources.responsibility_of(&before) != Responsibility::Foreign);
        self.take_in(&mut inner, key.clone(), Arc::new(mr));
        inner.news.insert(key);
        is_ours || was_ours
    }

    /// Takes in a ManagedResource as we wrote it and the server acknowledged it. Returns it.
    pub(crate) fn wrote(&self, mr: ManagedResource) -> Arc<ManagedResource> {
        let (key, mr) = (mr.key(), Arc::new(mr));
        let mut inner = self.managed_resources.lock();
        // The watch was quicker than the answer: it is gone, and one of the same name must not inherit what it held.
        let Some(before) = inner.mrs.get(&key).cloned() else { return mr };
        // From the first status of ours on, what it remembers was observed by us.
        let is_first = has_observations(&mr) && inner.inherited.remove(&key);
        let is_echoed = before.metadata.resource_version == mr.metadata.resource_version;
        // The watch was quicker than the answer, and did not have what was written.
        if is_echoed && foreign_crd::drops_fields(mr.inventory(), before.inventory()) {
            self.foreign_crd.add_affected(&key);
        }
        match is_echoed {
            true if !self.foreign_crd.is_present() && !is_first => return before,
            false if !is_newer(&mr, &before) => return mr,
            _ => {}
        }
        self.take_in(&mut inner, key, Arc::clone(&mr));
        mr
    }

    /// Forgets a ManagedResource and what was known of its objects.
    pub(crate) fn remove(&self, key: &NamespacedName) {
        self.forget(&mut self.managed_resources.lock(), key);
    }

    fn take_in(&self, inner: &mut Inner, key: NamespacedName, mr: Arc<ManagedResource>) {
        if self.managed_resources.responsibility_of(&mr) == Responsibility::Foreign {
            // What another controller holds, perhaps in another cluster, is not weighed against what we hold. Only that the
            // ManagedResource is there is remembered, and in which version, so that older news are known for what they are.
            self.forget(inner, &key);
            let mut stub = ManagedResource { metadata: mr.metadata.clone(), spec: mr.spec.clone(), status: None };
            stub.metadata.managed_fields = None;
            inner.mrs.insert(key, Arc::new(stub));
            return;
        }
        inner.index.upsert(&mr);
        // Once we have worked on it, we know better: an inventory that is written while objects are being pruned still names
        // them, and what it says of them must not pass for an object that is there.
        if !inner.planned.contains(&key) {
            self.objects.recall(mr.inventory());
        }
        inner.mrs.insert(key, mr);
    }

    fn forget(&self, inner: &mut Inner, key: &NamespacedName) {
        self.manifests.forget(key);
        self.objects.forget_changes(key);
        self.foreign_crd.forget(key);
        if let Some(mr) = inner.remove(key) {
            mr.inventory().iter().for_each(|reference| self.forget_object(&reference.object_key()));
        }
    }
}

fn has_observations(mr: &ManagedResource) -> bool {
    mr.inventory().iter().any(|reference| reference.state.is_some())
}

/// What another controller observed of objects, perhaps in another cluster, says nothing about what we would find.
fn without_observations(mut mr: ManagedResource) -> ManagedResource {
    for reference in mr.status.iter_mut().flat_map(|status| &mut status.resources) {
        reference.state = None;
    }
    mr
}

/// Resource versions of one kind are ordered numbers; another uid is another object.
fn is_newer(new: &ManagedResource, old: &ManagedResource) -> bool {
    let version =
        |mr: &ManagedResource| mr.metadata.resource_version.as_ref().and_then(|text| text.parse::<u64>().ok());
    match (version(new), version(old)) {
        (Some(new_version), Some(old_version)) if new.metadata.uid == old.metadata.uid => new_version > old_version,
        _ => new.metadata.resource_version != old.metadata.resource_version,
    }
}
