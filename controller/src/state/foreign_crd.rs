//! A CustomResourceDefinition that somebody else installed, without the fields of ours.
//!
//! The server then drops them from every status we write. Nothing is lost but the memory over a restart: they are put back
//! in memory, so that the status is not taken for a different one in each pass.
//!
//! What the server stores tells whether it drops them. Its definition is not read: that needs a right to watch
//! CustomResourceDefinitions in the cluster of the ManagedResources, where a Role of one namespace is all that we ask for,
//! and all that Gardener gives to its resource manager for a shoot.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    key::NamespacedName,
};

/// Whether there is one, and what it has dropped.
#[derive(Default)]
pub(crate) struct ForeignCrd(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    is_present: bool,
    is_announced: bool,
    /// ManagedResources of whose inventory the server has dropped what is ours.
    affected: BTreeSet<NamespacedName>,
    /// Of these, those whose status is to be written again, since the server may keep it now.
    pending_rewrites: BTreeSet<NamespacedName>,
}

impl ForeignCrd {
    /// The server has dropped fields of ours, or refused one as unknown.
    pub(crate) fn set_present(&self) {
        self.lock().is_present = true;
    }

    /// Whether the server drops what is ours in an inventory.
    pub(crate) fn is_present(&self) -> bool {
        self.lock().is_present
    }

    /// Whether the server drops what is ours, if that is news.
    pub(crate) fn take_news(&self) -> Option<bool> {
        let mut inner = self.lock();
        let is_news = inner.is_present != inner.is_announced;
        inner.is_announced = inner.is_present;
        is_news.then_some(inner.is_present)
    }

    /// The server has dropped what is ours of this inventory.
    pub(super) fn add_affected(&self, key: &NamespacedName) {
        let mut inner = self.lock();
        inner.is_present = true;
        inner.affected.insert(key.clone());
    }

    /// The server keeps what is ours of this inventory, so it does of all: those that were affected are written again.
    pub(super) fn set_retained(&self, key: &NamespacedName) {
        let mut inner = self.lock();
        inner.affected.remove(key);
        if std::mem::take(&mut inner.is_present) {
            let mut affected = std::mem::take(&mut inner.affected);
            inner.pending_rewrites.append(&mut affected);
        }
    }

    /// All ManagedResources have been listed anew, as they are when their definition is replaced: whether fields are still
    /// dropped is tried with one of them.
    pub(crate) fn probe(&self) {
        let mut inner = self.lock();
        if let Some(one) = inner.affected.first().filter(|_| inner.is_present).cloned() {
            inner.pending_rewrites.insert(one);
        }
    }

    /// ManagedResources whose status is to be written again although nothing has changed.
    pub(crate) fn pending_rewrites(&self) -> Vec<NamespacedName> {
        self.lock().pending_rewrites.iter().cloned().collect()
    }

    /// Whether the status of this one is to be written again.
    pub(crate) fn is_rewrite_due(&self, key: &NamespacedName) -> bool {
        self.lock().pending_rewrites.contains(key)
    }

    /// It was written again.
    pub(crate) fn set_rewritten(&self, key: &NamespacedName) {
        self.lock().pending_rewrites.remove(key);
    }

    /// The ManagedResource is gone.
    pub(super) fn forget(&self, key: &NamespacedName) {
        let mut inner = self.lock();
        inner.affected.remove(key);
        inner.pending_rewrites.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the server dropped our fields from the inventory that was sent.
pub(super) fn drops_fields(sent: &[ResourceReference], stored: &[ResourceReference]) -> bool {
    // What is about to be created is a name alone in any case.
    let has_entries = stored.iter().any(|reference| !reference.pending);
    has_fields(sent) && has_entries && !has_fields(stored)
}

/// Whether any entry of an inventory has a field that is ours alone.
pub(super) fn has_fields(inventory: &[ResourceReference]) -> bool {
    let mut entries = inventory.iter().filter(|reference| !reference.pending);
    entries.any(|reference| reference.resource.is_some() || reference.source.is_some())
}

/// Puts back what the server has dropped of a status.
pub(super) fn restore(mr: &mut ManagedResource, before: &ManagedResource) {
    let (Some(status), Some(old)) = (&mut mr.status, &before.status) else { return };
    status.phase = status.phase.or(old.phase);
    if status.active_pauses.is_empty() {
        status.active_pauses.clone_from(&old.active_pauses);
    }
    let before: BTreeMap<_, _> = old.resources.iter().map(|reference| (reference.object_key(), reference)).collect();
    for reference in &mut status.resources {
        let Some(before) = before.get(&reference.object_key()) else { continue };
        reference.resource = reference.resource.take().or_else(|| before.resource.clone());
        reference.source = reference.source.take().or_else(|| before.source.clone());
        reference.state = reference.state.take().or_else(|| before.state.clone());
        reference.preserved = reference.preserved.take().or_else(|| before.preserved.clone());
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::api::{Status, StatusPhase};

    use super::*;

    fn reference(source: Option<&str>) -> ResourceReference {
        ResourceReference { name: "a".into(), source: source.map(Into::into), ..Default::default() }
    }

    #[test]
    fn dropped_fields_are_noticed_and_put_back() {
        let (full, cut) = ([reference(Some("s"))], [reference(None)]);
        assert!(drops_fields(&full, &cut));
        assert!(!drops_fields(&full, &full) && !drops_fields(&cut, &cut) && !drops_fields(&full, &[]));
        let mut mr = ManagedResource {
            status: Some(Status { resources: cut.to_vec(), ..Status::default() }),
            ..ManagedResource::default()
        };
        let status = Status { resources: full.to_vec(), phase: Some(StatusPhase::Ignored), ..Status::default() };
        restore(&mut mr, &ManagedResource { status: Some(status), ..ManagedResource::default() });
        assert_eq!(mr.status.as_ref().unwrap().phase, Some(StatusPhase::Ignored));
        assert_eq!(mr.inventory(), full);
    }
}
