//! What is known of one object: what we wrote, and what its watch has said since.
//!
//! While a write is on its way, a watch may be quicker than the answer, and what it says may be the write itself. So it is judged
//! when the answer is there ([`ObjectRecord::applied`]). Times are since any fixed moment.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::drift::{self, Applied, Live, Observed, State};
use crate::{api::ResourceReference, digest::Digest, field_ownership::preserve::Preserve};

/// One object.
#[derive(Clone, Debug, Default)]
pub struct ObjectRecord {
    applied: Option<Applied>,
    source: Source,
    /// What a watch has said last, unless it is what `applied` says.
    live: Live,
    /// Uid of the object whose end a watch has spoken of last.
    gone: Option<String>,
    /// It is being deleted, and its watch does not see it any more.
    is_terminating_unlabelled: bool,
    /// A write of it is due, and none has succeeded since.
    is_write_due: bool,
    /// When a watch first spoke of a change by others that is not repaired yet.
    changed_since: Option<Duration>,
    write: Write,
    /// The server refuses to apply the manifest; it was written plainly.
    is_written_plainly: bool,
    /// Which of its fields we do not manage.
    preserve: Preserve,
}

/// Where this process knows an object from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// An inventory, if at all.
    #[default]
    Inventory,
    /// A watch, which has shown that it is there, and not in deletion.
    Watch,
    /// Our own write; what others wrote down of it is older.
    Write,
}

/// Whether a write is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Write {
    #[default]
    None,
    /// No watch has spoken since it began.
    UnderWay,
    /// One has.
    Overtaken,
}

/// What a watch has said, where something follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// How the object stands.
    pub state: State,
    /// It is the first sign of a change by others.
    pub is_first: bool,
}

/// What an accepted write leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteResult {
    /// Time since a change by others was noticed.
    pub waited: Option<Duration>,
    /// Others changed the object while it was being written.
    pub is_changed_again: bool,
}

impl ObjectRecord {
    /// How the object stands, compared with a manifest.
    pub fn state(&self, manifest: Digest) -> State {
        drift::state(manifest, self.applied.as_ref(), &self.live)
    }

    /// A write of the object is due. It stays due until one has succeeded: what a failed one did nobody knows.
    pub fn set_write_due(&mut self) {
        self.is_write_due = true;
    }

    /// Whether a write of the object is due.
    pub fn is_write_due(&self) -> bool {
        self.is_write_due
    }

    /// Whether a change by others may stay as it is. What was gone before this process saw it may have been deleted by an
    /// earlier one, to be created again.
    pub fn may_wait(&self, state: State) -> bool {
        !self.is_write_due && (state != State::Missing || self.source > Source::Inventory)
    }

    /// Whether the last write of the object succeeded, and was of this manifest.
    pub fn is_written(&self, manifest: Digest) -> bool {
        !self.is_write_due && self.applied.as_ref().is_some_and(|applied| applied.manifest == manifest)
    }

    /// Takes in what an inventory remembers of the object, written down by an earlier process or by the one that leads while
    /// we wait. Our own memory is newer.
    pub fn recall(&mut self, reference: &ResourceReference) {
        if self.source == Source::Write {
            return;
        }
        let before = self.applied.take().map(|applied| applied.observed);
        self.applied = Applied::recall(reference);
        if let (Some(Applied { observed, .. }), Some(before)) = (&mut self.applied, before) {
            // What a watch has told of this very state of it.
            let version = &observed.resource_version;
            let is_unmoved = version.is_empty() || *version == before.resource_version;
            observed.keep_object = before.keep_object.filter(|_| is_unmoved && observed.uid == before.uid);
            observed.finalized = before.finalized;
        }
        self.preserve = Preserve::remembered(reference);
    }

    /// Writes down in an inventory what was applied of the object.
    pub fn remember(&self, reference: &mut ResourceReference) {
        if let Some(applied) = &self.applied {
            applied.remember(reference);
        }
        let is_terminating = matches!(&self.live, Live::Present(observed) if observed.deleting);
        // Whoever leads next is not to write to what is being deleted before a watch has told of that.
        if self.is_write_due && !is_terminating {
            drift::owe(reference);
        }
    }

    /// The object is to be written whatever its uid: the one we knew is gone.
    pub fn clear_uid_precondition(&mut self) {
        self.applied = None;
        self.live = Live::Unknown;
    }

    /// Whether a watch only repeats our last write.
    pub fn is_own_write(&self, metadata: &ObjectMeta) -> bool {
        let (uid, version) = (metadata.uid.as_deref(), metadata.resource_version.as_deref());
        let applied = self.applied.as_ref().map(|applied| &applied.observed);
        // What an inventory remembers is not all that is to be known.
        let is_repeated = |latest: &Observed| {
            latest.keep_object.is_some() && Some(&*latest.uid) == uid && Some(&*latest.resource_version) == version
        };
        self.live == Live::Unknown && self.write == Write::None && applied.is_some_and(is_repeated)
    }

    /// Takes in what a watch says. `gone` is the uid of an object that ended, where it is told. Returns what follows from it,
    /// unless there is nothing to be done.
    pub fn observe(&mut self, live: Live, gone: Option<&str>, now: Duration) -> Option<Sighting> {
        let is_other = |applied: &Applied| gone.is_some_and(|gone| gone != applied.observed.uid);
        if live == Live::Gone && self.write == Write::None && self.applied.as_ref().is_some_and(is_other) {
            // The end of an earlier object of that name.
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

    /// What follows from the last thing that a watch said.
    fn judge(&mut self, now: Duration) -> Option<Sighting> {
        let state = match (&self.applied, &self.live) {
            (Some(applied), live) => drift::state(applied.manifest, Some(applied), live),
            (None, Live::Gone) => State::Missing,
            // The pass that writes it first is on its way.
            (None, _) => State::InSync,
        };
        if state == State::InSync {
            self.changed_since = None;
            // There is nothing to be done, but something to be said.
            return self.settle().then_some(Sighting { state, is_first: false });
        }
        let is_change = matches!(state, State::Drifted | State::Missing) && self.applied.is_some();
        let is_first = is_change && self.changed_since.is_none();
        if is_first {
            self.changed_since = Some(now);
        }
        Some(Sighting { state, is_first })
    }

    /// What is in sync is remembered once: in what was applied. Returns whether the object has begun or ceased to say that it is
    /// to be kept.
    fn settle(&mut self) -> bool {
        let mut is_keep_object_changed = false;
        if let (Some(applied), Live::Present(seen)) = (&mut self.applied, &mut self.live) {
            let is_newer = !seen.is_older_than(&applied.observed);
            let before_this = applied.observed.keep_object.unwrap_or_default();
            is_keep_object_changed = is_newer && seen.keep_object.is_some_and(|keep_object| keep_object != before_this);
            if is_newer && !applied.management_mode.is_managed() {
                // Whatever it is now.
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

    /// What others changed is to stay as it is.
    pub fn forget_notice(&mut self) {
        self.changed_since = None;
    }

    /// Its watch does not see the object any more although it is there: it is being deleted, and somebody took its label.
    pub fn set_terminating_unlabelled(&mut self) {
        self.is_terminating_unlabelled = true;
    }

    /// Whether its watch will not tell of the end of the object.
    pub fn is_terminating_unlabelled(&self) -> bool {
        self.is_terminating_unlabelled
    }

    /// Which fields of the object we do not manage.
    pub fn preserve(&self) -> Preserve {
        self.preserve
    }

    /// Sets which fields of the object we do not manage.
    pub fn set_preserve(&mut self, preserve: Preserve) {
        self.preserve = preserve;
    }

    /// Whether this process has released these fields when it wrote the object last.
    pub fn has_released(&self, preserve: Preserve) -> bool {
        let applied = self.applied.as_ref().filter(|_| self.source == Source::Write);
        applied.is_some_and(|applied| applied.observed.preserve.covers(preserve))
    }

    /// A write is on its way.
    pub fn begin_write(&mut self) {
        self.write = Write::UnderWay;
    }

    /// The write is over. If its answer was not told, nothing is known of what it did, and it will be tried again.
    pub fn end_write(&mut self) {
        self.write = Write::None;
    }

    /// Records an accepted write. What a watch says later counts against it; what it said before does not any more.
    pub fn applied(&mut self, mut applied: Applied, now: Duration) -> WriteResult {
        applied.observed.forget_fields();
        if self.live == Live::Gone && self.gone.as_ref() != Some(&applied.observed.uid) {
            // What had ended is there again.
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

    /// Notes how the object had to be written. Returns whether it is the first time that it had to be written plainly.
    pub fn set_written_plainly(&mut self, is_written_plainly: bool) -> bool {
        !std::mem::replace(&mut self.is_written_plainly, is_written_plainly) && is_written_plainly
    }

    /// The object as last seen, by watch or by our own write; `None` if it is gone or unknown.
    pub fn latest(&self) -> Option<&Observed> {
        match &self.live {
            Live::Gone => None,
            Live::Present(observed) => Some(observed),
            Live::Unknown => Some(&self.applied.as_ref()?.observed),
        }
    }

    /// What a watch has said last about the object, if it is there.
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
