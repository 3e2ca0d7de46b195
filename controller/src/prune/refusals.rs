//! Deletions that were refused: each object is tried again ever more seldom, whatever wakes its ManagedResource meanwhile.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::{deletion::Progress, key::ObjectKey};
use tokio::time::Instant;

/// After the first refusal.
const SHORTEST: Duration = Duration::from_secs(1);
/// Each refusal doubles the pause, up to this.
const LONGEST: Duration = Duration::from_secs(60);

/// The refusals that are remembered.
#[derive(Default)]
pub(super) struct Refusals(Mutex<BTreeMap<ObjectKey, Entry>>);

/// A deletion that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Why.
    pub(super) words: String,
    /// How far the deletion was then.
    pub(super) progress: Progress,
}

struct Entry {
    refusal: Refusal,
    pause: Duration,
    until: Instant,
}

impl Refusals {
    /// Why the object was refused last, if it is too early to try again.
    pub(super) fn in_force(&self, object: &ObjectKey, now: Instant) -> Option<Refusal> {
        let entries = self.lock();
        Some(entries.get(object).filter(|entry| entry.until > now)?.refusal.clone())
    }

    /// It was refused.
    pub(super) fn add(&self, object: &ObjectKey, words: String, progress: Progress, now: Instant) {
        let mut entries = self.lock();
        let pause = entries.get(object).map_or(SHORTEST, |before| (before.pause * 2).min(LONGEST));
        let refusal = Refusal { words, progress };
        entries.insert(object.clone(), Entry { refusal, pause, until: now + pause });
    }

    /// It was not refused, or it is to be tried again at once.
    pub(super) fn forget(&self, object: &ObjectKey) {
        self.lock().remove(object);
    }

    /// How long until the object is tried again; `None` if it was not refused.
    pub(super) fn wait(&self, object: &ObjectKey, now: Instant) -> Option<Duration> {
        self.lock().get(object).map(|entry| entry.until.saturating_duration_since(now))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_come_ever_more_seldom() {
        let (refusals, object) = (Refusals::default(), ObjectKey::new("", "ConfigMap", "n", "a"));
        let mut now = Instant::now();
        assert_eq!(refusals.in_force(&object, now), None);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            refusals.add(&object, "forbidden".to_owned(), Progress::Refused, now);
            assert_eq!(refusals.wait(&object, now), Some(Duration::from_secs(pause)));
            let just_before = now + Duration::from_secs(pause) - Duration::from_millis(1);
            let early = refusals.in_force(&object, just_before);
            assert_eq!(early, Some(Refusal { words: "forbidden".to_owned(), progress: Progress::Refused }));
            now += Duration::from_secs(pause);
            assert_eq!(refusals.in_force(&object, now), None);
        }
        refusals.forget(&object);
        assert_eq!(refusals.wait(&object, now), None);
        refusals.add(&object, String::new(), Progress::Unserved, now);
        assert_eq!(refusals.wait(&object, now), Some(SHORTEST), "it begins anew");
    }
}
