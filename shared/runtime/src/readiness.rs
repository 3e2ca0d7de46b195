//! What has to be true before traffic or work may come: named latches, all of them. And remarks on what is wrong without being
//! a reason to send traffic elsewhere.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The latches of a process. Ready when all are set; without any, ready at once.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    latches: Arc<Mutex<BTreeMap<String, Arc<AtomicBool>>>>,
    note: Note,
}

/// One condition of readiness; unset at first.
#[derive(Clone, Debug)]
pub struct Latch(Arc<AtomicBool>);

/// A line for people who ask whether we are ready. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Note(Arc<Mutex<Option<String>>>);

impl Note {
    /// Replaces it.
    pub fn set(&self, text: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// The line, if there is one.
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Readiness {
    /// What is to be said beside.
    pub fn note(&self) -> Note {
        self.note.clone()
    }

    /// The latch of this name; the same one each time.
    pub fn latch(&self, name: &str) -> Latch {
        let mut latches = self.latches.lock().unwrap_or_else(PoisonError::into_inner);
        Latch(Arc::clone(latches.entry(name.to_owned()).or_default()))
    }

    /// Names of the latches that are not set, in order.
    pub fn missing(&self) -> Vec<String> {
        let latches = self.latches.lock().unwrap_or_else(PoisonError::into_inner);
        latches.iter().filter(|(_, set)| !set.load(Ordering::Relaxed)).map(|(name, _)| name.clone()).collect()
    }
}

impl Latch {
    /// Sets or clears the latch.
    pub fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_all_latches_are_set() {
        let readiness = Readiness::default();
        assert!(readiness.missing().is_empty());
        let (watch, certificate) = (readiness.latch("watch"), readiness.latch("certificate"));
        assert_eq!(readiness.missing(), ["certificate", "watch"]);
        watch.set(true);
        readiness.latch("certificate").set(true);
        assert!(certificate.is_set() && readiness.missing().is_empty());
        watch.set(false);
        assert_eq!(readiness.missing(), ["watch"]);
        watch.set(true);
        readiness.note().set(Some("slow".to_owned()));
        assert!(readiness.missing().is_empty(), "a remark is no obstacle");
        assert_eq!(readiness.clone().note().get().as_deref(), Some("slow"));
    }
}
