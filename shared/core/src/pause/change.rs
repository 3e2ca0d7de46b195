//! What a write of a ManagedResource changes about its pauses. Beginning or extending a pause needs the verb
//! `override`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Entry, Pauses, time, unreadable_text};
use crate::api::ManagedResource;

/// Clocks differ. A pause of the longest allowed duration must pass even if the user's clock is a little fast.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// What a write changes about the pauses of a ManagedResource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PauseChange {
    /// Active pauses that are new, longer, or select more objects.
    pub begun: Vec<Entry>,
    /// The write sets the annotation `ignore`.
    pub ignore: bool,
    /// Pauses that were active and are now gone, shorter, or select fewer objects.
    pub ended: Vec<Entry>,
    /// The write removes the annotation `ignore`.
    pub unignored: bool,
    /// New pauses that are already over, one text each.
    pub past: Vec<String>,
    /// New pauses that are unreadable, one text each.
    pub unreadable: Vec<String>,
}

impl PauseChange {
    /// Whether the user needs the verb `override`.
    pub fn needs_override(&self) -> bool {
        self.ignore || !self.begun.is_empty()
    }

    /// Whether the write ends a pause or removes the annotation `ignore`.
    pub fn is_end(&self) -> bool {
        self.unignored || !self.ended.is_empty()
    }

    /// Describes each new pause that exceeds the longest allowed duration.
    pub fn too_long(&self, longest: Duration, now: Timestamp) -> Vec<String> {
        let limit = SignedDuration::try_from(longest).ok().and_then(|longest| longest.checked_add(TOLERANCE));
        let Some(last) = limit.and_then(|limit| now.checked_add(limit).ok()) else { return Vec::new() };
        let too_long = self.begun.iter().filter(|entry| entry.until > last);
        too_long.map(|entry| format!("the pause of {} until {}", entry.objects(), time(entry.until))).collect()
    }
}

/// Compares the written ManagedResource with the stored one. Ending, shortening or narrowing a pause needs no verb.
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
