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
pub(crate) struct Retries(Mutex<BTreeMap<ObjectKey, Refusal>>);

struct Refusal {
    /// Why.
    words: String,
    progress: Progress,
    pause: Duration,
    until: Instant,
}

impl Retries {
    /// Why the object was refused last, and how far it was, if it is too early to try again.
    pub(crate) fn too_early(&self, object: &ObjectKey, now: Instant) -> Option<(String, Progress)> {
        let refusals = self.lock();
        let refusal = refusals.get(object).filter(|refusal| refusal.until > now)?;
        Some((refusal.words.clone(), refusal.progress))
    }

    /// It was refused.
    pub(crate) fn refused(&self, object: &ObjectKey, words: String, progress: Progress, now: Instant) {
        let mut refusals = self.lock();
        let pause = refusals.get(object).map_or(SHORTEST, |before| (before.pause * 2).min(LONGEST));
        refusals.insert(object.clone(), Refusal { words, progress, pause, until: now + pause });
    }

    /// It was not refused, or it is to be tried again at once.
    pub(crate) fn forget(&self, object: &ObjectKey) {
        self.lock().remove(object);
    }

    /// How long until the object is tried again; `None` if it was not refused.
    pub(crate) fn wait(&self, object: &ObjectKey, now: Instant) -> Option<Duration> {
        self.lock().get(object).map(|refusal| refusal.until.saturating_duration_since(now))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_come_ever_more_seldom() {
        let (retries, object) = (Retries::default(), ObjectKey::new("", "ConfigMap", "n", "a"));
        let mut now = Instant::now();
        assert_eq!(retries.too_early(&object, now), None);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            retries.refused(&object, "forbidden".to_owned(), Progress::Refused, now);
            assert_eq!(retries.wait(&object, now), Some(Duration::from_secs(pause)));
            let just_before = now + Duration::from_secs(pause) - Duration::from_millis(1);
            let early = retries.too_early(&object, just_before);
            assert_eq!(early, Some(("forbidden".to_owned(), Progress::Refused)));
            now += Duration::from_secs(pause);
            assert_eq!(retries.too_early(&object, now), None);
        }
        retries.forget(&object);
        assert_eq!(retries.wait(&object, now), None);
        retries.refused(&object, String::new(), Progress::Unserved, now);
        assert_eq!(retries.wait(&object, now), Some(SHORTEST), "it begins anew");
    }
}
