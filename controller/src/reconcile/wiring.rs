//! From settings and clients to the parts that reconcile.

use std::sync::Arc;

use holdfast_core::digest::Key;
use holdfast_runtime::traffic::Traffic;
use kube::Client;

use super::{Policy, Reconciler, Stages, Worker};
use crate::{
    apply::Applier,
    config::Args,
    desired::{Loader, OwnershipMetadata},
    leader_election::Leadership,
    metrics::Metrics,
    prune::{PruneSettings, Pruner},
    queue::Queue,
    state::ClusterState,
    status::{events::Events, source::SourceClient, writer::StatusWriter},
    target::{Target, client::TargetClient, rate_limit::RateLimit, requests::Requests, write_gate::WriteGate},
    watch::objects::ObjectWatches,
};

/// What the parts are made from.
pub(crate) struct Wiring<'a> {
    pub(crate) args: &'a Args,
    pub(crate) leadership: Leadership,
    pub(crate) rate_limit: Arc<RateLimit>,
    /// Clients that write.
    pub(crate) source: Client,
    pub(crate) target: Client,
    /// What is sent to the source.
    pub(crate) source_traffic: Traffic,
    pub(crate) digest_key: Key,
    pub(crate) state: Arc<ClusterState>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) watches: ObjectWatches,
    pub(crate) metrics: Metrics,
}

impl Wiring<'_> {
    /// A worker, which may be cloned, and the requests of all workers.
    pub(crate) fn build(self) -> (Worker, Requests) {
        let Self { args, leadership, source, state, queue, watches, metrics, digest_key, .. } = self;
        let gate = WriteGate::new(leadership.clone(), self.rate_limit);
        let events = Arc::new(Events::new(source.clone(), gate.clone()));
        let target = TargetClient::new(self.target, gate.clone());
        let width = args.concurrent_requests.get();
        let target = Arc::new(Target::new(target, watches.context.traffic.clone(), width, Arc::clone(&queue)));
        let ownership = OwnershipMetadata {
            cluster_id: args.cluster_id.clone(),
            managed_by: args.managed_by.clone(),
            default_mode: args.default_protection.into(),
            guard: args.guard,
        };
        let loader = Loader::new(source.clone(), self.source_traffic, ownership, digest_key.clone());
        let applier = Applier::new(
            Arc::clone(&target),
            Arc::clone(&state),
            Arc::clone(&events),
            metrics.clone(),
            digest_key,
            args.cluster_id.clone(),
        );
        let settings = PruneSettings {
            cluster_id: args.cluster_id.clone(),
            garbage_collector: args.garbage_collector,
            pending_period: args.pending_period,
        };
        let pruner =
            Pruner::new(Arc::clone(&target), Arc::clone(&state), Arc::clone(&events), metrics.clone(), settings);
        let stages = Stages { loader, applier: Arc::new(applier), pruner: Arc::new(pruner) };
        let source = SourceClient::new(source, gate.clone());
        let status = StatusWriter::new(source, Arc::clone(&state), events, metrics.clone());
        let requests = target.requests.clone();
        let reconciler = Reconciler::new(state, Arc::clone(&queue), target, watches, stages, status, Policy::of(args));
        let worker = Worker { reconciler: Arc::new(reconciler), queue, leadership, gate, metrics };
        (worker, requests)
    }
}
