//! What is known of single objects, and which of them watches have spoken of.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::{
    api::ResourceReference,
    digest::Digest,
    field_ownership::preserve::Preserve,
    inventory::{
        drift::{Applied, Live, Observed, State},
        object_record::{ObjectRecord, Sighting, WriteResult},
    },
    key::{GroupKind, NamespacedName, ObjectKey},
    manifest::Desired,
    names,
    position::Position,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::time::Instant;

use crate::desired::DesiredSet;

/// All objects. Each call is one step; nothing that a caller decides between two calls is protected.
pub(crate) struct Objects {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    records: HashMap<ObjectKey, ObjectRecord>,
    /// Objects that watches have spoken of since the last pass.
    changed: BTreeMap<NamespacedName, BTreeSet<ObjectKey>>,
}

impl Default for Objects {
    fn default() -> Self {
        Self { start: Instant::now(), inner: Mutex::default() }
    }
}

impl Objects {
    /// How an object stands.
    pub(crate) fn state(&self, object: &ObjectKey, manifest: Digest) -> State {
        self.read(object, |record| record.state(manifest)).unwrap_or(State::Outdated)
    }

    /// A write of the object is due, until one has succeeded. An object of which nothing is known is outdated in any case.
    pub(crate) fn set_write_due(&self, object: &ObjectKey) {
        self.change(object, ObjectRecord::set_write_due);
    }

    /// Whether a write of the object is due.
    pub(crate) fn is_write_due(&self, object: &ObjectKey) -> bool {
        self.read(object, ObjectRecord::is_write_due).unwrap_or_default()
    }

    /// Whether a change by others may stay as it is.
    pub(super) fn may_wait(&self, object: &ObjectKey, state: State) -> bool {
        self.read(object, |record| record.may_wait(state)).unwrap_or(true)
    }

    /// Positions of desired objects whose last write did not succeed, or was of another manifest.
    pub(crate) fn unwritten(&self, set: &DesiredSet) -> Vec<Position> {
        let inner = self.lock();
        let is_written = |position: Position, object: &Desired| {
            inner.records.get(&object.key).is_some_and(|record| record.is_written(set.digest(position)))
        };
        let desired = Position::enumerate(&set.objects);
        desired.filter(|(position, object)| !is_written(*position, object)).map(|(position, _)| position).collect()
    }

    /// Takes in what an inventory remembers. Our own memory is newer.
    pub(super) fn recall(&self, inventory: &[ResourceReference]) {
        let mut inner = self.lock();
        for reference in inventory {
            inner.records.entry(reference.object_key()).or_default().recall(reference);
        }
    }

    /// Writes down in an inventory what was applied of its objects.
    pub(crate) fn remember(&self, inventory: &mut [ResourceReference]) {
        let inner = self.lock();
        for reference in inventory {
            if let Some(record) = inner.records.get(&reference.object_key()) {
                record.remember(reference);
            }
        }
    }

    /// Objects of an inventory that others have marked to be kept; their manifests do not say so.
    pub(crate) fn retained_objects(&self, inventory: &[ResourceReference]) -> Vec<ObjectKey> {
        let is_declared = |reference: &ResourceReference| {
            reference.annotations.get(names::ANNOTATION_KEEP_OBJECT).is_some_and(names::is_truthy)
        };
        let inner = self.lock();
        let is_retained = |object: &ObjectKey| {
            let latest = inner.records.get(object).and_then(ObjectRecord::latest);
            latest.is_some_and(|observed| observed.keep_object == Some(true))
        };
        let undeclared = inventory.iter().filter(|reference| !is_declared(reference));
        undeclared.map(ResourceReference::object_key).filter(is_retained).collect()
    }

    /// Forgets an object: it is not ours any more.
    pub(super) fn forget(&self, object: &ObjectKey) {
        self.lock().records.remove(object);
    }

    /// The object is to be written whatever its uid: the one we knew is gone.
    pub(crate) fn clear_uid_precondition(&self, object: &ObjectKey) {
        self.change(object, ObjectRecord::clear_uid_precondition);
    }

    /// Whether a watch only repeats our last write.
    pub(super) fn is_own_write(&self, object: &ObjectKey, metadata: &ObjectMeta) -> bool {
        self.read(object, |record| record.is_own_write(metadata)).unwrap_or_default()
    }

    /// Takes in what a watch says of an object of a ManagedResource. Returns what follows from it, unless there is nothing to be
    /// done. `is_ignored` says of which states nothing is to be done before a pause ends.
    pub(super) fn observe(
        &self,
        mr: &NamespacedName,
        object: &ObjectKey,
        live: Live,
        gone: Option<&str>,
        is_ignored: bool,
    ) -> Option<Sighting> {
        let now = self.now();
        let mut inner = self.lock();
        let record = inner.records.entry(object.clone()).or_default();
        let sighting = record.observe(live, gone, now)?;
        if is_ignored {
            record.forget_notice();
            return None;
        }
        inner.changed.entry(mr.clone()).or_default().insert(object.clone());
        Some(sighting)
    }

    /// Objects of a ManagedResource that watches have spoken of since the last call.
    pub(crate) fn take_changed(&self, mr: &NamespacedName) -> BTreeSet<ObjectKey> {
        self.lock().changed.remove(mr).unwrap_or_default()
    }

    /// The watch does not see an object any more although it is there: it is being deleted, and somebody took its label.
    pub(crate) fn set_terminating_unlabelled(&self, object: &ObjectKey) {
        self.change(object, ObjectRecord::set_terminating_unlabelled);
    }

    /// Whether the watch will not tell of the end of an object.
    pub(crate) fn is_terminating_unlabelled(&self, object: &ObjectKey) -> bool {
        self.read(object, ObjectRecord::is_terminating_unlabelled).unwrap_or_default()
    }

    /// Which fields of an object we do not manage.
    pub(super) fn preserve(&self, object: &ObjectKey) -> Preserve {
        self.read(object, ObjectRecord::preserve).unwrap_or_default()
    }

    /// Sets which fields of the object we do not manage.
    pub(crate) fn set_preserve(&self, object: &Desired) {
        self.lock().records.entry(object.key.clone()).or_default().set_preserve(object.preserve);
    }

    /// Whether this process has released the fields of an object that we do not manage.
    pub(crate) fn has_released(&self, object: &Desired) -> bool {
        self.read(&object.key, |record| record.has_released(object.preserve)).unwrap_or_default()
    }

    /// A write is on its way, until the guard is dropped or [`Objects::applied`] is told the answer.
    pub(crate) fn begin_write<'a>(&'a self, object: &'a ObjectKey) -> WriteGuard<'a> {
        self.lock().records.entry(object.clone()).or_default().begin_write();
        WriteGuard { objects: self, object }
    }

    /// Records an accepted write.
    pub(crate) fn applied(&self, mr: &NamespacedName, object: &ObjectKey, applied: Applied) -> WriteResult {
        let now = self.now();
        let mut inner = self.lock();
        let result = inner.records.entry(object.clone()).or_default().applied(applied, now);
        if result.is_changed_again {
            inner.changed.entry(mr.clone()).or_default().insert(object.clone());
        }
        result
    }

    /// Notes how the object had to be written. Returns whether it is the first time that it had to be written plainly.
    pub(crate) fn set_written_plainly(&self, object: &ObjectKey, is_written_plainly: bool) -> bool {
        self.lock().records.entry(object.clone()).or_default().set_written_plainly(is_written_plainly)
    }

    /// The object as last seen, by watch or by our own write; `None` if it is gone or unknown.
    pub(crate) fn latest(&self, object: &ObjectKey) -> Option<Observed> {
        self.read(object, |record| record.latest().cloned()).flatten()
    }

    /// Uid to guard a write with: of the object as last seen, unless it is known to be gone.
    pub(crate) fn uid(&self, object: &ObjectKey) -> Option<String> {
        self.read(object, |record| record.latest().map(|latest| latest.uid.clone())).flatten()
    }

    /// Whether finalizers of others will hold the deletion of an object, as far as it has been seen.
    pub(crate) fn is_finalized(&self, object: &ObjectKey) -> bool {
        self.read(object, |record| record.latest().is_some_and(|latest| latest.finalized)).unwrap_or_default()
    }

    /// Whether an object says that it is paused, or is not there to say so. One of which no watch has spoken does not.
    pub(crate) fn has_pause_label(&self, object: &ObjectKey) -> bool {
        let has_label = |observed: &Observed| observed.deleting || observed.has_pause_label();
        self.read(object, |record| record.latest().is_none_or(has_label)).unwrap_or(true)
    }

    /// What a watch has said last about an object that is there.
    pub(crate) fn seen(&self, object: &ObjectKey) -> Option<Observed> {
        self.read(object, |record| record.seen().cloned()).flatten()
    }

    /// Generation after our last write, for kinds that have one.
    pub(crate) fn written_generation(&self, object: &ObjectKey) -> Option<i64> {
        self.read(object, ObjectRecord::written_generation).flatten()
    }

    /// Objects of a kind, for comparing with a complete list of a watch.
    pub(crate) fn of_kind(&self, kind: &GroupKind) -> BTreeSet<ObjectKey> {
        self.lock().records.keys().filter(|key| key.is_of(kind)).cloned().collect()
    }

    /// The ManagedResource is gone; its objects are forgotten one by one.
    pub(super) fn forget_changes(&self, mr: &NamespacedName) {
        self.lock().changed.remove(mr);
    }

    /// Time for [`ObjectRecord`].
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn read<T>(&self, object: &ObjectKey, read: impl FnOnce(&ObjectRecord) -> T) -> Option<T> {
        self.lock().records.get(object).map(read)
    }

    fn change(&self, object: &ObjectKey, change: impl FnOnce(&mut ObjectRecord)) {
        if let Some(record) = self.lock().records.get_mut(object) {
            change(record);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as it lives, a write of an object is on its way.
#[must_use = "the write counts as over when the guard is dropped"]
pub(crate) struct WriteGuard<'a> {
    objects: &'a Objects,
    object: &'a ObjectKey,
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        self.objects.change(self.object, ObjectRecord::end_write);
    }
}
