//! What is known of single objects: what was written, what the watches have said since, how often it was put right.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use holdfast_core::{
    api::ResourceReference,
    digest::Digest,
    drift::{self, Applied, Live, Observed, State},
    fight::Fights,
    key::{GroupKind, ObjectKey},
};
use tokio::time::Instant;

/// All objects.
pub(super) struct Objects {
    records: HashMap<ObjectKey, Record>,
    pub(super) fights: Fights,
    start: Instant,
}

/// One object.
#[derive(Default)]
struct Record {
    applied: Option<Applied>,
    live: Live,
    /// When a watch first spoke of a change by others that is not put right yet.
    noticed: Option<Instant>,
    /// A write is on its way; what a watch says meanwhile may be its echo.
    in_writing: bool,
    /// The server refuses to apply the manifest; it was written plainly.
    is_fallback: bool,
}

impl Default for Objects {
    fn default() -> Self {
        Self { records: HashMap::new(), fights: Fights::default(), start: Instant::now() }
    }
}

impl Objects {
    /// Time for [`Fights`].
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// How an object stands.
    pub(super) fn state(&self, object: &ObjectKey, manifest: Digest) -> State {
        let record = self.records.get(object);
        record.map_or(State::Outdated, |record| drift::state(manifest, record.applied.as_ref(), &record.live))
    }

    /// Takes in what an inventory remembers of an object, unless more is known.
    pub(super) fn recall(&mut self, reference: &ResourceReference) {
        let applied = Applied::recall(reference);
        self.records.entry(reference.object_key()).or_insert_with(|| Record { applied, ..Record::default() });
    }

    /// Writes down in inventories what was applied of their objects.
    pub(super) fn remember(&self, references: &mut [ResourceReference]) {
        for reference in references {
            let record = self.records.get(&reference.object_key());
            if let Some(applied) = record.and_then(|record| record.applied.as_ref()) {
                applied.remember(reference);
            }
        }
    }

    pub(super) fn forget(&mut self, object: &ObjectKey) {
        self.records.remove(object);
        self.fights.forget(object);
    }

    /// The object is to be written without a guard: the one we knew is gone.
    pub(super) fn unguard(&mut self, object: &ObjectKey) {
        if let Some(record) = self.records.get_mut(object) {
            record.applied = None;
            record.live = Live::Unknown;
        }
    }

    /// Takes in what a watch says. Returns the state, unless there is nothing to be done, and whether it is the first sign
    /// of a change by others.
    pub(super) fn observe(&mut self, object: &ObjectKey, live: Live) -> Option<(State, bool)> {
        let record = self.records.entry(object.clone()).or_default();
        record.live = live;
        let state = match (&record.applied, &record.live) {
            (_, Live::Gone) => State::Missing,
            (Some(applied), live) => drift::state(applied.manifest, Some(applied), live),
            // The pass that writes it first is on its way.
            (None, _) => State::InSync,
        };
        if state == State::InSync {
            if let Live::Present(observed) = &mut record.live {
                observed.forget_fields();
            }
            return None;
        }
        let is_change = matches!(state, State::Drifted | State::Missing) && record.applied.is_some();
        let is_first = is_change && record.noticed.is_none() && !record.in_writing;
        if is_first {
            record.noticed = Some(Instant::now());
        }
        Some((state, is_first))
    }

    pub(super) fn begin_writing(&mut self, object: &ObjectKey) {
        self.records.entry(object.clone()).or_default().in_writing = true;
    }

    /// The write failed; nothing is known of what it did.
    pub(super) fn give_up_writing(&mut self, object: &ObjectKey) {
        if let Some(record) = self.records.get_mut(object) {
            record.in_writing = false;
        }
    }

    /// Records an accepted write. Returns the time since a change by others was noticed.
    pub(super) fn applied(&mut self, object: &ObjectKey, manifest: Digest, mut observed: Observed) -> Option<Duration> {
        observed.forget_fields();
        let record = self.records.entry(object.clone()).or_default();
        match &mut record.live {
            Live::Gone => record.live = Live::Unknown,
            // The watch may have been quicker than the answer, and drift may have been explained by now.
            Live::Present(live) => live.forget_fields(),
            Live::Unknown => {}
        }
        record.applied = Some(Applied { manifest, observed });
        record.in_writing = false;
        record.noticed.take().map(|at| at.elapsed())
    }

    /// Notes how the object had to be written. Returns whether it is the first time that it had to be written plainly.
    pub(super) fn set_fallback(&mut self, object: &ObjectKey, is_fallback: bool) -> bool {
        let record = self.records.entry(object.clone()).or_default();
        !std::mem::replace(&mut record.is_fallback, is_fallback) && is_fallback
    }

    /// The object as last seen, by watch or by our own write; `None` if it is gone or unknown.
    pub(super) fn latest(&self, object: &ObjectKey) -> Option<&Observed> {
        let record = self.records.get(object)?;
        match &record.live {
            Live::Gone => None,
            Live::Present(observed) => Some(observed),
            Live::Unknown => Some(&record.applied.as_ref()?.observed),
        }
    }

    /// What a watch has said last about an object that is there.
    pub(super) fn live(&self, object: &ObjectKey) -> Option<&Observed> {
        match &self.records.get(object)?.live {
            Live::Present(observed) => Some(observed),
            Live::Gone | Live::Unknown => None,
        }
    }

    /// Generation or, without one, resource version after our last write.
    pub(super) fn written_generation(&self, object: &ObjectKey) -> Option<i64> {
        self.records.get(object)?.applied.as_ref()?.observed.generation
    }

    /// Objects of a kind.
    pub(super) fn of_kind(&self, kind: &GroupKind) -> BTreeSet<ObjectKey> {
        self.records.keys().filter(|key| key.kind == kind.kind && key.group == kind.group).cloned().collect()
    }
}
