//! Metrics that are read at the time of a scrape: the sizes of what is known. Labels are bounded, as in [`crate::metrics`].

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Registry,
};

use crate::{leader_election::Leadership, queue::Queue, state::ClusterState, watch::watch_status::FailingWatches};

/// Registers those of the process, whichever controllers it runs.
pub(crate) fn observe_process(registry: &mut Registry, failing: &Arc<FailingWatches>, leadership: &Leadership) {
    registry.register_collector(Box::new(Process { failing: Arc::clone(failing), leadership: leadership.clone() }));
}

/// Registers those of the controller of ManagedResources.
pub(crate) fn observe(registry: &mut Registry, state: &Arc<ClusterState>, queue: &Arc<Queue>) {
    registry.register_collector(Box::new(Sizes { state: Arc::clone(state), queue: Arc::clone(queue) }));
}

struct Process {
    failing: Arc<FailingWatches>,
    leadership: Leadership,
}

struct Sizes {
    state: Arc<ClusterState>,
    queue: Arc<Queue>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}

impl fmt::Debug for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sizes")
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let leader = gauge(usize::from(self.leadership.is_leader()));
        let (name, help) = ("holdfast_controller_leader", "1 on the replica that leads");
        leader.encode(encoder.encode_descriptor(name, help, None, leader.metric_type())?)?;
        let help = "1 while the watch of a kind fails";
        let kind = leader.metric_type();
        let mut family = encoder.encode_descriptor("holdfast_controller_watch_failing", help, None, kind)?;
        for kind in self.failing.kinds() {
            gauge(1).encode(family.encode_family(&[("kind", kind.as_str())])?)?;
        }
        Ok(())
    }
}

impl Collector for Sizes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in [
            ("holdfast_controller_queue_depth", "ManagedResources waiting for a pass", self.queue.depth()),
            ("holdfast_controller_fought_objects", "Objects that are fought over", self.state.contention.count()),
            ("holdfast_controller_pauses", "Pauses that last", self.state.managed_resources.active_pauses()),
        ] {
            let gauge = gauge(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let kind = gauge(0).metric_type();
        let states = self.state.managed_resources.sizes();
        let help = "ManagedResources by the reason of their condition ResourcesApplied";
        let mut family = encoder.encode_descriptor("holdfast_controller_managed_resources", help, None, kind)?;
        for (state, sizes) in &states {
            gauge(sizes.managed_resources).encode(family.encode_family(&[("state", state.as_str())])?)?;
        }
        let help = "Objects in inventories by the state of their ManagedResource";
        let mut family = encoder.encode_descriptor("holdfast_controller_objects", help, None, kind)?;
        for (state, sizes) in &states {
            gauge(sizes.objects).encode(family.encode_family(&[("state", state.as_str())])?)?;
        }
        Ok(())
    }
}

fn gauge(value: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}
