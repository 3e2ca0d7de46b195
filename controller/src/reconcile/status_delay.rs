//! When mere observations are written down: after a burst of repairs, and not after each of them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::key::NamespacedName;
use tokio::time::Instant;

/// Observations of repairs are written down after this time without another one,
const QUIET: Duration = Duration::from_secs(2);
/// and this much for each object in the inventory: a status of a thousand objects costs the API server more than a hundred
/// milliseconds, in which repairs have to wait.
const QUIET_PER_OBJECT: Duration = Duration::from_millis(10);
/// Objects that count for it.
const MOST_OBJECTS: u32 = 2000;
/// And after this time in any case.
const LONGEST: Duration = Duration::from_secs(60);

/// Of all ManagedResources.
#[derive(Default)]
pub(super) struct StatusDelay(Mutex<BTreeMap<NamespacedName, Entry>>);

#[derive(Default)]
struct Entry {
    last_work: Option<Instant>,
    /// Since when observations wait to be written down.
    since: Option<Instant>,
}

impl StatusDelay {
    /// Time until observations are written down, after a pass that did some work or none; `None` if that is now.
    /// A burst of repairs is one write that way, and no repair waits for it. `objects` are in the inventory.
    pub(super) fn until_due(
        &self,
        mr: &NamespacedName,
        did_work: bool,
        objects: usize,
        now: Instant,
    ) -> Option<Duration> {
        let mut entries = self.lock();
        let entry = entries.entry(mr.clone()).or_default();
        if did_work {
            entry.last_work = Some(now);
        }
        let patience = QUIET + QUIET_PER_OBJECT * u32::try_from(objects).unwrap_or(u32::MAX).min(MOST_OBJECTS);
        let quiet = entry.last_work.map_or(now, |last| last + patience);
        let due = quiet.min(*entry.since.get_or_insert(now) + LONGEST);
        if due > now {
            return Some(due - now);
        }
        entry.since = None;
        None
    }

    /// The status was written, or is as it should be.
    pub(super) fn reset(&self, mr: &NamespacedName) {
        if let Some(entry) = self.lock().get_mut(mr) {
            entry.since = None;
        }
    }

    /// The ManagedResource is gone.
    pub(super) fn forget(&self, mr: &NamespacedName) {
        self.lock().remove(mr);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespacedName, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn observations_wait_for_quiet_but_not_for_ever() {
        let (delay, mr) = (StatusDelay::default(), NamespacedName::new("n", "a"));
        assert_eq!(delay.until_due(&mr, false, 0, Instant::now()), None, "nothing was done");
        assert_eq!(delay.until_due(&mr, true, 0, Instant::now()), Some(QUIET));
        tokio::time::advance(QUIET).await;
        assert_eq!(delay.until_due(&mr, false, 0, Instant::now()), None);
        let start = Instant::now();
        while delay.until_due(&mr, true, 0, Instant::now()).is_some() {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(start.elapsed(), LONGEST);
        assert_eq!(
            delay.until_due(&mr, true, 1000, Instant::now()),
            Some(Duration::from_secs(12)),
            "what costs more waits longer"
        );
    }
}
