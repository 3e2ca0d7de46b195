//! What a write of a ManagedResource asks for beyond what holds already: that needs the verb `override`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Entry, Pauses, time, unreadable_text};
use crate::api::ManagedResource;

/// Clocks differ: a pause of the longest duration that is allowed is to pass although the user's is a little fast.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// What is new about the pauses of a ManagedResource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PauseChange {
    /// Pauses that last, and were not there, or not for so long, or not for so many objects.
    pub begun: Vec<Entry>,
    /// The annotation `ignore` is set, and was not.
    pub ignore: bool,
    /// Pauses that would last, and are gone, or made shorter or smaller.
    pub ended: Vec<Entry>,
    /// The annotation `ignore` was set, and is not.
    pub unignored: bool,
    /// Pauses that are new and over, one text each.
    pub past: Vec<String>,
    /// Pauses that are new and cannot be read, one text each.
    pub unreadable: Vec<String>,
}

impl PauseChange {
    /// Whether somebody is to be let through the glass.
    pub fn needs_override(&self) -> bool {
        self.ignore || !self.begun.is_empty()
    }

    /// Whether somebody ends what lasts.
    pub fn is_end(&self) -> bool {
        self.unignored || !self.ended.is_empty()
    }

    /// Pauses that are longer than the longest that is allowed, one text each.
    pub fn too_long(&self, longest: Duration, now: Timestamp) -> Vec<String> {
        let limit = SignedDuration::try_from(longest).ok().and_then(|longest| longest.checked_add(TOLERANCE));
        let Some(last) = limit.and_then(|limit| now.checked_add(limit).ok()) else { return Vec::new() };
        let too_long = self.begun.iter().filter(|entry| entry.until > last);
        too_long.map(|entry| format!("the pause of {} until {}", entry.objects(), time(entry.until))).collect()
    }
}

/// Compares what is written with what is stored. Ending a pause, or making it shorter or smaller, asks for nothing.
pub fn change(old: Option<&ManagedResource>, new: &ManagedResource, now: Timestamp) -> PauseChange {
    let before = old.map(Pauses::of).unwrap_or_default();
    let is_old =
        |entry: &Entry| before.iter().any(|old| old.until >= entry.until && old.selection.contains(&entry.selection));
    let previous = old.map_or(&[][..], ManagedResource::pauses);
    let (was_ignored, is_ignored) = (old.is_some_and(ManagedResource::is_ignored), new.is_ignored());
    let after = Pauses::of(new);
    let goes_on =
        |old: &Entry| after.iter().any(|entry| entry.until >= old.until && entry.selection.contains(&old.selection));
    let mut change = PauseChange {
        ignore: is_ignored && !was_ignored,
        unignored: was_ignored && !is_ignored,
        ended: before.iter().filter(|entry| entry.until > now && !goes_on(entry)).cloned().collect(),
        ..PauseChange::default()
    };
    for (position, pause) in new.pauses().iter().enumerate().filter(|(_, pause)| !previous.contains(pause)) {
        match Entry::of(pause) {
            None => change.unreadable.push(unreadable_text(position, pause)),
            Some(entry) if is_old(&entry) => {}
            Some(entry) if entry.until <= now => change.past.push(format!(
                "spec.protection.pauses[{position}] is over since {} (it has no effect)",
                time(entry.until)
            )),
            Some(entry) => change.begun.push(entry),
        }
    }
    change
}
