//! Nothing is deleted after a start before every ManagedResource has been planned once.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::key::NamespacedName;

use super::Reconciler;

/// The first pause. As a rule all are planned soon.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest one. Passes over large inventories cost much, and the last plan ends the wait at once.
const LONGEST: Duration = Duration::from_secs(5);

/// ManagedResources that have to wait, and how often each did.
#[derive(Default)]
pub(super) struct PruneBarrier(Mutex<BTreeMap<NamespacedName, u32>>);

impl PruneBarrier {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespacedName, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pause until the next pass over a ManagedResource that has come too early. It doubles each time.
    pub(super) fn pause(&self, mr: &NamespacedName) -> Duration {
        let mut waiting = self.lock();
        let times = waiting.entry(mr.clone()).or_default();
        let pause = SHORTEST.saturating_mul(1 << (*times).min(16)).min(LONGEST);
        *times = times.saturating_add(1);
        pause
    }

    /// The ManagedResource is gone.
    pub(super) fn forget(&self, mr: &NamespacedName) {
        self.lock().remove(mr);
    }
}

impl Reconciler {
    /// Queues those who wait, as soon as all are planned.
    pub(super) fn lift_prune_barrier(&self) {
        if self.memory.prune_barrier.lock().is_empty() || !self.state.managed_resources.are_all_planned() {
            return;
        }
        let waiting = std::mem::take(&mut *self.memory.prune_barrier.lock());
        for mr in waiting.into_keys() {
            self.queue.add(mr);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_few_seconds() {
        let (barrier, mr) = (PruneBarrier::default(), NamespacedName::new("n", "a"));
        let pauses: Vec<_> = (0..8).map(|_| barrier.pause(&mr).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!((0..100).all(|_| barrier.pause(&mr) == LONGEST));
        assert_eq!(barrier.pause(&NamespacedName::new("n", "b")), SHORTEST, "each has its own");
        barrier.forget(&mr);
        assert_eq!(barrier.pause(&mr), SHORTEST);
    }
}
