//! What the process knows of one object: our last write, and the watch reports since.
//!
//! A watch can report a write before its answer arrives. So a report that comes during a write is judged when the
//! answer is there ([`ObjectRecord::applied`]). Times count from any fixed moment.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::drift::{self, Applied, Live, Observed, State};
use crate::{api::ResourceReference, digest::Digest, field_ownership::preserve::Preserve};

/// The record of one object.
#[derive(Clone, Debug, Default)]
pub struct ObjectRecord {
    applied: Option<Applied>,
    source: Source,
    /// The last watch report, unless it equals `applied`.
    live: Live,
    /// The uid in the last report that an object has ended.
    gone: Option<String>,
    /// The object is being deleted, and its watch no longer sees it.
    is_terminating_unlabelled: bool,
    /// A write is due, and none has succeeded since.
    is_write_due: bool,
    /// When a watch first reported a foreign change that is not repaired yet.
    changed_since: Option<Duration>,
    write: Write,
    /// The server refuses to apply the manifest, so it was written with a plain write.
    is_written_plainly: bool,
    /// The fields that we do not manage.
    preserve: Preserve,
}

/// How this process learned of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// From an inventory, or not at all.
    #[default]
    Inventory,
    /// From a watch, which has shown the object alive.
    Watch,
    /// From our own write. Records of others are older.
    Write,
}

/// Whether a write is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Write {
    #[default]
    None,
    /// No watch report has arrived since it began.
    UnderWay,
    /// A watch report has arrived since it began.
    Overtaken,
}

/// A watch report that has consequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The state of the object.
    pub state: State,
    /// This is the first sign of a foreign change.
    pub is_first: bool,
}

/// The effects of an accepted write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteResult {
    /// Time since a watch reported the foreign change.
    pub waited: Option<Duration>,
    /// Others changed the object during the write.
    pub is_changed_again: bool,
}

impl ObjectRecord {
    /// Returns the state of the object compared with a manifest.
    pub fn state(&self, manifest: Digest) -> State {
        drift::state(manifest, self.applied.as_ref(), &self.live)
    }

    /// Marks a write as due. It stays due until a write succeeds, since the effect of a failed write is unknown.
    pub fn set_write_due(&mut self) {
        self.is_write_due = true;
    }

    /// Whether a write of the object is due.
    pub fn is_write_due(&self) -> bool {
        self.is_write_due
    }

    /// Whether a foreign change may stay. An object that was already gone when this process started may have been
    /// deleted by an earlier process that was about to create it again.
    pub fn may_wait(&self, state: State) -> bool {
        !self.is_write_due && (state != State::Missing || self.source > Source::Inventory)
    }

    /// Whether the last write succeeded and had this manifest.
    pub fn is_written(&self, manifest: Digest) -> bool {
        !self.is_write_due && self.applied.as_ref().is_some_and(|applied| applied.manifest == manifest)
    }

    /// Reads an inventory entry from an earlier process, or from the current leader while we are on standby. Our own
    /// writes are newer.
    pub fn recall(&mut self, reference: &ResourceReference) {
        if self.source == Source::Write {
            return;
        }
        let before = self.applied.take().map(|applied| applied.observed);
        self.applied = Applied::recall(reference);
        if let (Some(Applied { observed, .. }), Some(before)) = (&mut self.applied, before) {
            // Keep what a watch has reported of this very state.
            let version = &observed.resource_version;
            let is_unmoved = version.is_empty() || *version == before.resource_version;
            observed.keep_object = before.keep_object.filter(|_| is_unmoved && observed.uid == before.uid);
            observed.finalized = before.finalized;
        }
        self.preserve = Preserve::remembered(reference);
    }

    /// Saves the last write in an inventory entry.
    pub fn remember(&self, reference: &mut ResourceReference) {
        if let Some(applied) = &self.applied {
            applied.remember(reference);
        }
        let is_terminating = matches!(&self.live, Live::Present(observed) if observed.deleting);
        // Not for a terminating object: the next leader would write to it before a watch reports the deletion.
        if self.is_write_due && !is_terminating {
            drift::owe(reference);
        }
    }

    /// Forgets the object's uid, so that the next write goes through: that object is gone.
    pub fn clear_uid_precondition(&mut self) {
        self.applied = None;
        self.live = Live::Unknown;
    }

    /// Whether a watch report only repeats our last write.
    pub fn is_own_write(&self, metadata: &ObjectMeta) -> bool {
        let (uid, version) = (metadata.uid.as_deref(), metadata.resource_version.as_deref());
        let applied = self.applied.as_ref().map(|applied| &applied.observed);
        // A record from an inventory is incomplete.
        let is_repeated = |latest: &Observed| {
            latest.keep_object.is_some() && Some(&*latest.uid) == uid && Some(&*latest.resource_version) == version
        };
        self.live == Live::Unknown && self.write == Write::None && applied.is_some_and(is_repeated)
    }

    /// Records a watch report. `gone` is the uid of an object that ended, if known. Returns a result only if there is
    /// something to do or to report.
    pub fn observe(&mut self, live: Live, gone: Option<&str>, now: Duration) -> Option<Sighting> {
        let is_other = |applied: &Applied| gone.is_some_and(|gone| gone != applied.observed.uid);
        if live == Live::Gone && self.write == Write::None && self.applied.as_ref().is_some_and(is_other) {
            // An earlier object of this name has ended.
            return None;
        }
        self.gone = gone.map(str::to_owned);
        if matches!(&live, Live::Present(observed) if !observed.deleting) {
            self.source = self.source.max(Source::Watch);
        }
        self.live = live;
        self.is_terminating_unlabelled = false;
        if self.write != Write::None {
            self.write = Write::Overtaken;
            return None;
        }
        self.judge(now)
    }

    /// Judges the last watch report.
    fn judge(&mut self, now: Duration) -> Option<Sighting> {
        let state = match (&self.applied, &self.live) {
            (Some(applied), live) => drift::state(applied.manifest, Some(applied), live),
            (None, Live::Gone) => State::Missing,
            // The pass that writes the object for the first time is about to do so.
            (None, _) => State::InSync,
        };
        if state == State::InSync {
            self.changed_since = None;
            // Nothing to do, but something to report.
            return self.settle().then_some(Sighting { state, is_first: false });
        }
        let is_change = matches!(state, State::Drifted | State::Missing) && self.applied.is_some();
        let is_first = is_change && self.changed_since.is_none();
        if is_first {
            self.changed_since = Some(now);
        }
        Some(Sighting { state, is_first })
    }

    /// Merges a state that is in sync into `applied`, to store it once. Returns whether the object has started or
    /// stopped asking to be kept.
    fn settle(&mut self) -> bool {
        let mut is_keep_object_changed = false;
        if let (Some(applied), Live::Present(seen)) = (&mut self.applied, &mut self.live) {
            let is_newer = !seen.is_older_than(&applied.observed);
            let before_this = applied.observed.keep_object.unwrap_or_default();
            is_keep_object_changed = is_newer && seen.keep_object.is_some_and(|keep_object| keep_object != before_this);
            if is_newer && !applied.management_mode.is_managed() {
                // Accept any state of an unmanaged object.
                applied.observed = seen.clone();
                applied.observed.forget_fields();
            } else if is_newer {
                applied.observed.resource_version = std::mem::take(&mut seen.resource_version);
                applied.observed.keep_object = seen.keep_object;
                applied.observed.finalized = seen.finalized;
            }
            self.live = Live::Unknown;
        }
        is_keep_object_changed
    }

    /// Forgets a foreign change that may stay.
    pub fn forget_notice(&mut self) {
        self.changed_since = None;
    }

    /// Records that the watch no longer sees a terminating object, because somebody removed its label.
    pub fn set_terminating_unlabelled(&mut self) {
        self.is_terminating_unlabelled = true;
    }

    /// Whether the watch will miss the end of the object.
    pub fn is_terminating_unlabelled(&self) -> bool {
        self.is_terminating_unlabelled
    }

    /// Returns the fields that we do not manage.
    pub fn preserve(&self) -> Preserve {
        self.preserve
    }

    /// Sets the fields that we do not manage.
    pub fn set_preserve(&mut self, preserve: Preserve) {
        self.preserve = preserve;
    }

    /// Whether this process released these fields in its last write.
    pub fn has_released(&self, preserve: Preserve) -> bool {
        let applied = self.applied.as_ref().filter(|_| self.source == Source::Write);
        applied.is_some_and(|applied| applied.observed.preserve.includes(preserve))
    }

    /// Marks a write as in flight.
    pub fn begin_write(&mut self) {
        self.write = Write::UnderWay;
    }

    /// Ends the write. If no answer was recorded, its effect is unknown, and the controller tries again.
    pub fn end_write(&mut self) {
        self.write = Write::None;
    }

    /// Records an accepted write. From now on only newer watch reports count.
    pub fn applied(&mut self, mut applied: Applied, now: Duration) -> WriteResult {
        applied.observed.forget_fields();
        if self.live == Live::Gone && self.gone.as_ref() != Some(&applied.observed.uid) {
            // The object exists again.
            self.live = Live::Unknown;
        }
        let waited = self.changed_since.take().map(|at| now.saturating_sub(at));
        self.applied = Some(applied);
        self.source = Source::Write;
        self.is_write_due = false;
        let was_overtaken = std::mem::take(&mut self.write) == Write::Overtaken;
        let is_changed_again = self.judge(now).is_some() && was_overtaken;
        WriteResult { waited, is_changed_again }
    }

    /// Records how the object was written. Returns true if this is the first plain write since the last apply.
    pub fn set_written_plainly(&mut self, is_written_plainly: bool) -> bool {
        !std::mem::replace(&mut self.is_written_plainly, is_written_plainly) && is_written_plainly
    }

    /// Returns the latest state of the object, from a watch or our own write; `None` if it is gone or unknown.
    pub fn latest(&self) -> Option<&Observed> {
        match &self.live {
            Live::Gone => None,
            Live::Present(observed) => Some(observed),
            Live::Unknown => Some(&self.applied.as_ref()?.observed),
        }
    }

    /// Returns the last watch report, if the object exists.
    pub fn seen(&self) -> Option<&Observed> {
        match &self.live {
            Live::Present(observed) => Some(observed),
            Live::Gone | Live::Unknown => None,
        }
    }

    /// Generation after our last write, for kinds that have one.
    pub fn written_generation(&self) -> Option<i64> {
        self.applied.as_ref()?.observed.generation
    }
}

#[cfg(test)]
mod tests;
