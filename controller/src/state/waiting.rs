//! Objects that a ManagedResource declares and another one holds: it waits for them.

use std::collections::BTreeSet;

use holdfast_core::{
    api::ResourceReference,
    inventory::plan::Plan,
    key::{NamespacedName, ObjectKey},
};

use super::managed_resources::{Inner, ManagedResources};
use crate::desired::DesiredSet;

impl Inner {
    /// What a ManagedResource waits for from now on: what another one holds, and whatever others hold of the group, kind and name
    /// of an object whose kind is served by nobody, in whatever namespace.
    pub(super) fn set_pending(&mut self, mr: &NamespacedName, plan: &Plan, set: &DesiredSet) {
        let conflicts = plan.conflicts.iter();
        let mut pending: BTreeSet<ObjectKey> =
            conflicts.filter_map(|conflict| Some(conflict.position.of(&set.objects)?.key.clone())).collect();
        if !set.unknown.is_empty() {
            let unknown = set.objects.iter().filter(|object| set.unknown.contains(&object.key.group_kind()));
            let names: BTreeSet<_> = unknown.map(|object| (object.key.group_kind(), object.key.name())).collect();
            let rest = self.mrs.iter().filter(|(other, _)| *other != mr);
            let claimed = rest.flat_map(|(_, other)| other.inventory()).map(ResourceReference::object_key);
            pending.extend(claimed.filter(|object| names.contains(&(object.group_kind(), object.name()))));
        }
        if pending.is_empty() {
            self.pending.remove(mr);
        } else {
            self.pending.insert(mr.clone(), pending);
        }
    }

    /// What others that are not being deleted wait for, for each of them.
    pub(super) fn pending_for_rest(&self, mr: &NamespacedName) -> impl Iterator<Item = &BTreeSet<ObjectKey>> {
        let is_live = |key: &NamespacedName| self.mrs.get(key).is_some_and(|mr| !mr.is_deleting());
        self.pending.iter().filter(move |(key, _)| *key != mr && is_live(key)).map(|(_, objects)| objects)
    }
}

impl ManagedResources {
    /// ManagedResources that wait for one of these objects.
    pub(crate) fn waiting_for(&self, objects: &BTreeSet<ObjectKey>) -> Vec<NamespacedName> {
        let inner = self.lock();
        let waiting = inner.pending.iter().filter(|(_, pending)| !pending.is_disjoint(objects));
        waiting.map(|(mr, _)| mr.clone()).collect()
    }

    /// Whether another ManagedResource, which is not being deleted, holds an object too, or waits for it.
    pub(crate) fn is_desired_by_another(&self, object: &ObjectKey, mr: &NamespacedName) -> bool {
        let inner = self.lock();
        if inner.pending_for_rest(mr).any(|objects| objects.contains(object)) {
            return true;
        }
        let mut claimants = inner.index.claimants(object).filter(|key| *key != mr);
        claimants.any(|key| inner.index.get(key).is_some_and(|owner| !owner.deleting))
    }
}
