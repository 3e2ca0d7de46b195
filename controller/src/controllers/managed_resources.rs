//! The controller of ManagedResources: applies what they declare, and repairs what others change.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_core::{key::GroupKind, names};
use holdfast_runtime::{readiness::Latch, supervise::Supervisor};

use super::{Controller, Registration, Shared};
use crate::{
    gauges,
    metrics::Metrics,
    queue::Queue,
    reconcile::Wiring,
    state::ClusterState,
    watch::{
        context::WatchContext,
        managed_resources,
        objects::ObjectWatches,
        secrets,
        watch_status::{Role, WatchStatus},
    },
};

/// Watches of both clusters, and workers.
pub(super) struct ManagedResources {
    state: Arc<ClusterState>,
    queue: Arc<Queue>,
    metrics: Metrics,
    listed: Latch,
}

impl ManagedResources {
    pub(super) fn new(Registration { args, registry, readiness }: &mut Registration<'_>) -> Self {
        let metrics = Metrics::register(registry);
        let state = Arc::new(ClusterState::new(&args.class, args.repair.into()));
        let queue = Arc::new(Queue::default());
        gauges::observe(registry, &state, &queue);
        Self { state, queue, metrics, listed: readiness.latch("ManagedResources") }
    }

    /// Watches of the source: Secrets by namespace, and ManagedResources.
    fn spawn_watches(&self, shared: &Shared, supervisor: &mut Supervisor) {
        let namespaces = managed_resources::scopes(&shared.args.source_namespaces);
        let status = |role, group: &str, kind: &str, plural: &str| {
            let kind = GroupKind { group: group.to_owned(), kind: kind.to_owned() };
            WatchStatus::new(role, kind, plural, &shared.source.traffic, &shared.failing)
        };
        for namespace in &namespaces {
            let name = namespace.as_ref().map_or("Secrets".to_owned(), |name| format!("Secrets in {name}"));
            let task = secrets::follow(
                shared.source.client.clone(),
                namespace.clone(),
                Arc::clone(&self.state),
                Arc::clone(&self.queue),
                status(Role::Manifests, "", "Secret", "secrets").within(namespace.as_deref()),
                shared.readiness.latch(&name),
                shared.token.clone(),
            );
            supervisor.spawn("secrets", task);
        }
        let task = managed_resources::follow(
            shared.source.client.clone(),
            namespaces,
            Arc::clone(&self.state),
            Arc::clone(&self.queue),
            status(Role::ManagedResources, names::GROUP, "ManagedResource", names::PLURAL),
            self.listed.clone(),
            shared.token.clone(),
        );
        supervisor.spawn("managedresources", task);
    }

    fn wiring(self, shared: &Shared) -> Wiring<'_> {
        let context = WatchContext {
            client: shared.target.client.clone(),
            traffic: shared.target.traffic.clone(),
            state: Arc::clone(&self.state),
            queue: Arc::clone(&self.queue),
            failing: Arc::clone(&shared.failing),
            token: shared.token.clone(),
        };
        let watches = ObjectWatches::new(context, shared.digest_key.clone(), self.metrics.clone(), BTreeMap::new());
        Wiring {
            args: &shared.args,
            leadership: shared.leadership.clone(),
            rate_limit: Arc::clone(&shared.rate_limit),
            source: shared.source.writer.clone(),
            target: shared.target.writer.clone(),
            source_traffic: shared.source.traffic.clone(),
            digest_key: shared.digest_key.clone(),
            state: self.state,
            queue: self.queue,
            watches,
            metrics: self.metrics,
        }
    }
}

impl Controller for ManagedResources {
    fn spawn(self: Box<Self>, shared: &Shared, supervisor: &mut Supervisor) {
        self.spawn_watches(shared, supervisor);
        let (worker, requests) = self.wiring(shared).build();
        supervisor.spawn("sick kinds", requests.run_recovery(shared.token.clone()));
        for _ in 0..shared.args.concurrent_syncs.get() {
            supervisor.spawn("reconciler", worker.clone().run(shared.token.clone()));
        }
    }
}
