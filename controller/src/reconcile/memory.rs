//! What passes remember of each ManagedResource.

use std::time::Duration;

use holdfast_core::key::NamespacedName;

use super::{
    brief_failures::BriefFailures, deletion::Finished, drift::FastPath, pause::SeenPauses, prune_barrier::PruneBarrier,
    resync::Schedule, status_delay::StatusDelay,
};

/// Between passes.
pub(super) struct Memory {
    pub(super) resync: Schedule,
    pub(super) status_delay: StatusDelay,
    pub(super) fast_path: FastPath,
    pub(super) pauses: SeenPauses,
    pub(super) finished: Finished,
    pub(super) prune_barrier: PruneBarrier,
    pub(super) brief_failures: BriefFailures,
}

impl Memory {
    /// Empty. Every object is applied again once in a `resync_period`.
    pub(super) fn new(resync_period: Duration) -> Self {
        Self {
            resync: Schedule::new(resync_period),
            status_delay: StatusDelay::default(),
            fast_path: FastPath::default(),
            pauses: SeenPauses::default(),
            finished: Finished::default(),
            prune_barrier: PruneBarrier::default(),
            brief_failures: BriefFailures::default(),
        }
    }

    /// The ManagedResource is gone.
    pub(super) fn forget(&self, mr: &NamespacedName) {
        self.resync.forget(mr);
        self.status_delay.forget(mr);
        self.fast_path.clear(mr);
        self.pauses.forget(mr);
        self.finished.forget(mr);
        self.prune_barrier.forget(mr);
        self.brief_failures.forget(mr);
    }
}
