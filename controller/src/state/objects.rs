//! What is known of single objects: what was written, what the watches have said since, how often it was put right.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use holdfast_core::{
    api::ResourceReference,
    digest::Digest,
    field_ownership::preserve::Preserve,
    inventory::{
        contention::Fights,
        drift::{self, Applied, Live, Observed, State},
    },
    key::{GroupKind, ObjectKey},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
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
    acquaintance: Acquaintance,
    /// What a watch has said last, unless it is what `applied` says.
    live: Live,
    /// Uid of the object whose end a watch has spoken of last.
    gone: Option<String>,
    /// It is being deleted, and its watch does not see it any more.
    is_hidden: bool,
    /// A write of it is due, and none has succeeded since.
    is_owed: bool,
    /// When a watch first spoke of a change by others that is not put right yet.
    noticed: Option<Instant>,
    writing: Writing,
    /// The server refuses to apply the manifest; it was written plainly.
    is_fallback: bool,
    /// What of it is left to others.
    preserve: Preserve,
}

/// How this process has come to know an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Acquaintance {
    /// From an inventory, if at all.
    #[default]
    None,
    /// A watch has shown that it is there, and not in deletion.
    Seen,
    /// This process has written it; what others wrote down of it is older.
    Written,
}

/// While a write is on its way, what a watch says may be its echo. It is judged when the answer is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writing {
    #[default]
    No,
    /// No watch has spoken since.
    Unheard,
    /// One has.
    Heard,
}

/// What an accepted write leads to.
#[derive(Debug, Default)]
pub struct Written {
    /// Time since a change by others was noticed.
    pub waited: Option<Duration>,
    /// Others changed the object while it was being written.
    pub is_changed_again: bool,
}

impl Record {
    /// The state, unless there is nothing to be done, and whether it is the first sign of a change by others.
    fn judge(&mut self) -> Option<(State, bool)> {
        let state = match (&self.applied, &self.live) {
            (Some(applied), live) => drift::state(applied.manifest, Some(applied), live),
            (None, Live::Gone) => State::Missing,
            // The pass that writes it first is on its way.
            (None, _) => State::InSync,
        };
        if state == State::InSync {
            self.noticed = None;
            let mut is_kept_news = false;
            if let (Some(applied), Live::Present(seen)) = (&mut self.applied, &mut self.live) {
                // One of the two is enough.
                let is_newer = !seen.is_older_than(&applied.observed);
                let was_kept = applied.observed.kept.unwrap_or_default();
                is_kept_news = is_newer && seen.kept.is_some_and(|kept| kept != was_kept);
                if is_newer && !applied.handling.is_held() {
                    // Whatever it is now.
                    applied.observed = seen.clone();
                    applied.observed.forget_fields();
                } else if is_newer {
                    applied.observed.resource_version = std::mem::take(&mut seen.resource_version);
                    applied.observed.kept = seen.kept;
                    applied.observed.finalized = seen.finalized;
                }
                self.live = Live::Unknown;
            }
            // There is nothing to be done, but something to be said.
            return is_kept_news.then_some((state, false));
        }
        let is_change = matches!(state, State::Drifted | State::Missing) && self.applied.is_some();
        let is_first = is_change && self.noticed.is_none();
        if is_first {
            self.noticed = Some(Instant::now());
        }
        Some((state, is_first))
    }
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

    /// A write of the object is due. It stays due until one has succeeded: what a failed one did nobody knows.
    pub(super) fn owe(&mut self, object: &ObjectKey) {
        if let Some(record) = self.records.get_mut(object) {
            record.is_owed = true;
        }
    }

    /// Whether a write of the object is due.
    pub(super) fn is_owed(&self, object: &ObjectKey) -> bool {
        self.records.get(object).is_some_and(|record| record.is_owed)
    }

    /// Whether a change by others may be left as it is. What was gone before this process saw it may have been deleted by an
    /// earlier one, to be created again.
    pub(super) fn may_wait(&self, object: &ObjectKey, state: State) -> bool {
        let is_known = |record: &Record| state != State::Missing || record.acquaintance > Acquaintance::None;
        self.records.get(object).is_none_or(|record| !record.is_owed && is_known(record))
    }

    /// Whether the last write of the object succeeded, and was of this manifest.
    pub(super) fn is_written(&self, object: &ObjectKey, manifest: Digest) -> bool {
        let record = self.records.get(object).filter(|record| !record.is_owed);
        record.and_then(|record| record.applied.as_ref()).is_some_and(|applied| applied.manifest == manifest)
    }

    /// Takes in what an inventory remembers of an object, written down by an earlier process or by the one that leads while
    /// we wait. Our own memory is newer.
    pub(super) fn recall(&mut self, reference: &ResourceReference) {
        let record = self.records.entry(reference.object_key()).or_default();
        if record.acquaintance != Acquaintance::Written {
            let before = record.applied.take().map(|applied| applied.observed);
            record.applied = Applied::recall(reference);
            if let (Some(Applied { observed, .. }), Some(before)) = (&mut record.applied, before) {
                // What a watch has told of this very state of it.
                let version = &observed.resource_version;
                let is_unmoved = version.is_empty() || *version == before.resource_version;
                observed.kept = before.kept.filter(|_| is_unmoved && observed.uid == before.uid);
                observed.finalized = before.finalized;
            }
            record.preserve = Preserve::remembered(reference);
        }
    }

    /// Writes down in inventories what was applied of their objects.
    pub(super) fn remember(&self, references: &mut [ResourceReference]) {
        for reference in references {
            let Some(record) = self.records.get(&reference.object_key()) else { continue };
            if let Some(applied) = &record.applied {
                applied.remember(reference);
            }
            let is_terminating = matches!(&record.live, Live::Present(observed) if observed.deleting);
            // Whoever leads next is not to write to what is being deleted before a watch has told of that.
            if record.is_owed && !is_terminating {
                drift::owe(reference);
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

    /// Whether a watch only repeats what is known.
    pub(super) fn is_echo(&self, object: &ObjectKey, metadata: &ObjectMeta) -> bool {
        let (uid, version) = (metadata.uid.as_deref(), metadata.resource_version.as_deref());
        self.records.get(object).is_some_and(|record| {
            let applied = record.applied.as_ref().map(|applied| &applied.observed);
            // What an inventory remembers is not all that is to be known.
            let is_known = |known: &Observed| {
                known.kept.is_some() && Some(&*known.uid) == uid && Some(&*known.resource_version) == version
            };
            record.live == Live::Unknown && record.writing == Writing::No && applied.is_some_and(is_known)
        })
    }

    /// Takes in what a watch says. `gone` is the uid of an object that ended, where it is told. Returns the state, unless
    /// there is nothing to be done, and whether it is the first sign of a change by others.
    pub(super) fn observe(&mut self, object: &ObjectKey, live: Live, gone: Option<&str>) -> Option<(State, bool)> {
        let record = self.records.entry(object.clone()).or_default();
        let is_other = |applied: &Applied| gone.is_some_and(|gone| gone != applied.observed.uid);
        if live == Live::Gone && record.writing == Writing::No && record.applied.as_ref().is_some_and(is_other) {
            // The end of an earlier object of that name.
            return None;
        }
        record.gone = gone.map(str::to_owned);
        if matches!(&live, Live::Present(observed) if !observed.deleting) {
            record.acquaintance = record.acquaintance.max(Acquaintance::Seen);
        }
        record.live = live;
        record.is_hidden = false;
        if record.writing != Writing::No {
            record.writing = Writing::Heard;
            return None;
        }
        record.judge()
    }

    /// What others changed is to be left as it is.
    pub(super) fn forget_notice(&mut self, object: &ObjectKey) {
        if let Some(record) = self.records.get_mut(object) {
            record.noticed = None;
        }
    }

    pub(super) fn set_hidden(&mut self, object: &ObjectKey) {
        if let Some(record) = self.records.get_mut(object) {
            record.is_hidden = true;
        }
    }

    pub(super) fn is_hidden(&self, object: &ObjectKey) -> bool {
        self.records.get(object).is_some_and(|record| record.is_hidden)
    }

    /// What of an object is left to others.
    pub(super) fn preserve(&self, object: &ObjectKey) -> Preserve {
        self.records.get(object).map(|record| record.preserve).unwrap_or_default()
    }

    /// Whether this process has left that to others when it wrote the object last.
    pub(super) fn has_released(&self, object: &ObjectKey, preserve: Preserve) -> bool {
        let record = self.records.get(object).filter(|record| record.acquaintance == Acquaintance::Written);
        record
            .and_then(|record| record.applied.as_ref())
            .is_some_and(|applied| applied.observed.preserve.covers(preserve))
    }

    /// From now on this is left to others.
    pub(super) fn leave(&mut self, object: &ObjectKey, preserve: Preserve) {
        self.records.entry(object.clone()).or_default().preserve = preserve;
    }

    pub(super) fn begin_writing(&mut self, object: &ObjectKey) {
        self.records.entry(object.clone()).or_default().writing = Writing::Unheard;
    }

    /// The write is over. If its answer was not told, nothing is known of what it did, and it will be tried again.
    pub(super) fn end_writing(&mut self, object: &ObjectKey) {
        if let Some(record) = self.records.get_mut(object) {
            record.writing = Writing::No;
        }
    }

    /// Records an accepted write.
    pub(super) fn applied(&mut self, object: &ObjectKey, mut applied: Applied) -> Written {
        applied.observed.forget_fields();
        let record = self.records.entry(object.clone()).or_default();
        if record.live == Live::Gone && record.gone.as_ref() != Some(&applied.observed.uid) {
            // What had ended is there again.
            record.live = Live::Unknown;
        }
        let waited = record.noticed.take().map(|at| at.elapsed());
        record.applied = Some(applied);
        record.acquaintance = Acquaintance::Written;
        record.is_owed = false;
        let has_heard = std::mem::take(&mut record.writing) == Writing::Heard;
        let is_changed_again = record.judge().is_some() && has_heard;
        Written { waited, is_changed_again }
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

    /// Generation after our last write, for kinds that have one.
    pub(super) fn written_generation(&self, object: &ObjectKey) -> Option<i64> {
        self.records.get(object)?.applied.as_ref()?.observed.generation
    }

    /// Objects of a kind.
    pub(super) fn of_kind(&self, kind: &GroupKind) -> BTreeSet<ObjectKey> {
        self.records.keys().filter(|key| key.is_of(kind)).cloned().collect()
    }
}
