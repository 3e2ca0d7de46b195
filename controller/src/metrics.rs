//! Metrics. Labels are bounded: results, kinds of drift, never names or texts.

use std::sync::Arc;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::ConstGauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

use crate::{election::Leadership, queue::Queue, world::World};

/// Counters that the controller moves.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Passes by result.
    pub passes: Family<Result, Counter>,
    /// Duration of passes, in seconds.
    pub pass_seconds: Histogram,
    /// Objects put right, by what had happened to them.
    pub repairs: Family<Cause, Counter>,
    /// Applies that the server refused or that timed out.
    pub apply_failures: Counter,
    /// Objects deleted because they are not declared any more.
    pub prunes: Counter,
}

/// Result of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Result {
    /// `done`, `retry` or `error`.
    pub result: &'static str,
}

/// Why an object was repaired.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Cause {
    /// `changed` or `deleted`.
    pub cause: &'static str,
}

impl Metrics {
    /// Creates and registers all.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            passes: Family::default(),
            pass_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            repairs: Family::default(),
            apply_failures: Counter::default(),
            prunes: Counter::default(),
        };
        registry.register(
            "holdfast_build",
            "Version of the program",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "holdfast_controller_passes",
            "Passes over ManagedResources by result",
            metrics.passes.clone(),
        );
        registry.register("holdfast_controller_pass_seconds", "Duration of passes", metrics.pass_seconds.clone());
        registry.register(
            "holdfast_controller_repairs",
            "Objects put right after others changed or deleted them",
            metrics.repairs.clone(),
        );
        registry.register(
            "holdfast_controller_apply_failures",
            "Applies that did not succeed",
            metrics.apply_failures.clone(),
        );
        registry.register(
            "holdfast_controller_prunes",
            "Objects deleted because they are not declared any more",
            metrics.prunes.clone(),
        );
        metrics
    }

    /// Registers what is counted at the time of a scrape.
    pub fn observe(registry: &mut Registry, world: &Arc<World>, queue: &Arc<Queue>, leadership: &Leadership) {
        registry.register_collector(Box::new(Sizes {
            world: Arc::clone(world),
            queue: Arc::clone(queue),
            leadership: leadership.clone(),
        }));
    }
}

struct Sizes {
    world: Arc<World>,
    queue: Arc<Queue>,
    leadership: Leadership,
}

impl std::fmt::Debug for Sizes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sizes")
    }
}

impl Collector for Sizes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::result::Result<(), std::fmt::Error> {
        let (mrs, objects) = self.world.counts();
        for (name, help, value) in [
            ("holdfast_controller_managed_resources", "ManagedResources known", mrs),
            ("holdfast_controller_objects", "Objects in all inventories", objects),
            ("holdfast_controller_leader", "1 on the replica that leads", usize::from(self.leadership.is_leader())),
            ("holdfast_controller_queue_depth", "ManagedResources waiting for a pass", self.queue.depth()),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
