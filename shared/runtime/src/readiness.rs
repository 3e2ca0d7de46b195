//! What has to be true before traffic or work may come: named latches, all of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The latches of a process. Ready when all are set; without any, ready at once.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Arc<AtomicBool>>>>);

/// One condition of readiness; unset at first.
#[derive(Clone, Debug)]
pub struct Latch(Arc<AtomicBool>);

impl Readiness {
    /// The latch of this name; the same one each time.
    pub fn latch(&self, name: &str) -> Latch {
        let mut latches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Latch(Arc::clone(latches.entry(name.to_owned()).or_default()))
    }

    /// Names of the latches that are not set, in order.
    pub fn missing(&self) -> Vec<String> {
        let latches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    }
}
