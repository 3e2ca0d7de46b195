//! How much of everything.
use std::time::Duration;

/// Sizes of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Objects of the one large ManagedResource; a multiple of four.
    pub(super) objects: usize,
    /// Edits, and deletions, of which the latency is taken.
    pub(super) probes: usize,
    /// Edits and deletions at once.
    pub(super) burst: usize,
    /// How often what is compared by its median is done.
    pub(super) rounds: usize,
    /// Small ManagedResources.
    pub(super) mrs: usize,
    /// Objects of each while they are applied.
    pub(super) each: usize,
    /// Objects of each when nothing happens.
    pub(super) each_settled: usize,
    /// How long nothing happens.
    pub(super) settled: Duration,
    /// Large ManagedResources beside the small ones, for the most objects.
    pub(super) large: usize,
    /// Resync period, where there is one.
    pub(super) resync: Duration,
    /// Reviews after which the webhook's memory is looked at; other rows take parts of them.
    pub(super) reviews: usize,
}

impl Sizes {
    /// What the targets are about.
    pub(super) fn full() -> Self {
        Self {
            objects: 1000,
            probes: 200,
            burst: 200,
            rounds: 5,
            mrs: 200,
            each: 20,
            each_settled: 25,
            settled: Duration::from_secs(120),
            large: 5,
            resync: Duration::from_secs(60),
            reviews: 1_000_000,
        }
    }

    /// Enough to see that everything works.
    pub(super) fn quick() -> Self {
        Self {
            objects: 200,
            probes: 30,
            burst: 40,
            rounds: 2,
            mrs: 20,
            each: 20,
            each_settled: 25,
            settled: Duration::from_secs(10),
            large: 2,
            resync: Duration::from_secs(20),
            reviews: 20_000,
        }
    }
}
