//! The controller: watches ManagedResources and Secrets, applies what they declare, repairs what others change.
//!
//! Decisions are made in `holdfast_core`; this crate reads, executes and reports.

mod apply;
pub mod config;
mod desired;
pub mod finalizer_notice;
mod gauges;
mod leader_election;
mod metrics;
mod per_owner;
mod prune;
mod queue;
mod reconcile;
mod setup;
mod state;
mod status;
mod target;
mod watch;

use std::sync::Arc;

use holdfast_core::{key::GroupKind, names};
use holdfast_runtime::{probes, readiness::Readiness, settings::Loaded, supervise::Supervisor, telemetry};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::{
    config::{Args, ControllerArg},
    metrics::Metrics,
    queue::Queue,
    reconcile::Reconciler,
    setup::clusters::{self, Answers, Clusters},
    state::World,
    target::rate_limit::Pace,
    watch::{
        managed_resources,
        pulse::Pulse,
        secrets,
        targets::Targets,
        watched::{FailingWatches, Role, Watched},
    },
};

/// Runs until SIGTERM or until a task fails; with `--finalizer-notice` until that is printed.
///
/// # Errors
/// Names in one line what could not be started or which task ended.
pub async fn run(loaded: Loaded<Args>) -> anyhow::Result<()> {
    let Loaded { args, remarks } = loaded;
    if args.finalizer_notice {
        finalizer_notice::look_and_print(&args).await;
        return Ok(());
    }
    telemetry::init(&args.log)?;
    for remark in remarks {
        tracing::warn!("{remark}");
    }
    if !args.extra_target_namespace.is_empty() {
        tracing::warn!("--extra-target-namespace has no effect: the target is not restricted to namespaces");
    }
    args.check()?;
    let mut supervisor = Supervisor::new()?;
    let listeners = args.probes.bind(args.listen).await?;
    if args.runs(ControllerArg::ManagedResource) {
        return run_managed_resources(args, supervisor, listeners).await;
    }
    tracing::warn!("no controller is to run; only probes and metrics are served");
    let served = probes::serve(listeners, Readiness::default(), Arc::default(), supervisor.token());
    supervisor.spawn("probes", served);
    supervisor.run().await
}

/// Probes come before anything is asked of an API server, which may be silent.
async fn run_managed_resources(
    args: Args,
    mut supervisor: Supervisor,
    listeners: Vec<TcpListener>,
) -> anyhow::Result<()> {
    let mut registry = Registry::default();
    let Some(clusters) = supervisor.start(Clusters::open(&args, &mut registry)).await? else { return Ok(()) };
    let metrics = Metrics::register(&mut registry);
    let readiness = Readiness::default();
    let world = Arc::new(World::new(&args.class, args.repair.into()));
    let queue = Arc::new(Queue::default());
    let failing = Arc::new(FailingWatches::default());
    gauges::observe(&mut registry, &world, &queue, &failing, &clusters.leadership);
    let token = supervisor.token();
    let connected = readiness.latch("API server");
    let listed = readiness.latch("ManagedResources");
    let served = probes::serve(listeners, readiness.clone(), Arc::new(registry), token.clone());
    supervisor.spawn("probes", served);
    for cluster in clusters.kept {
        supervisor.spawn("credentials", cluster.keep(token.clone()));
    }

    let (source, target) = (clusters.source, clusters.target);
    let asked = supervisor.start(clusters::ask(&source, &target, &args)).await?;
    let Some(Answers { cluster_id, key, owner }) = asked else { return Ok(()) };
    connected.set(true);
    let args = Args { cluster_id, ..args };
    let traffic = clusters.each.iter().map(|(.., traffic)| traffic.clone()).collect();
    for (cluster, client, traffic) in clusters.each {
        let latch = readiness.latch(&format!("answers of the API server ({cluster})"));
        latch.set(true);
        let (remark, limit) = (readiness.remark(), args.unanswered_limit);
        let pulse = Pulse { cluster, client, traffic, latch, remark, limit };
        supervisor.spawn("pulse", pulse.keep(token.clone()));
    }

    let (to_source, to_target) = (clusters.source_traffic.clone(), clusters.target_traffic.clone());
    let (follow, secrets) = (managed_resources::follow, secrets::follow);
    let watched = |role, group: &str, kind: &str, plural: &str| {
        let kind = GroupKind { group: group.to_owned(), kind: kind.to_owned() };
        Watched::new(role, kind, plural, &to_source, &failing)
    };
    let namespaces = managed_resources::scopes(&args.source_namespaces);
    for namespace in &namespaces {
        let latch =
            readiness.latch(&namespace.as_ref().map_or("Secrets".to_owned(), |name| format!("Secrets in {name}")));
        let (world, queue) = (Arc::clone(&world), Arc::clone(&queue));
        let watched = watched(Role::Manifests, "", "Secret", "secrets").within(namespace.as_deref());
        let (source, namespace) = (source.clone(), namespace.clone());
        supervisor.spawn("secrets", secrets(source, namespace, world, queue, watched, latch, token.clone()));
    }
    let watched = watched(Role::ManagedResources, names::GROUP, "ManagedResource", names::PLURAL);
    let watched = follow(source, namespaces, Arc::clone(&world), Arc::clone(&queue), watched, listed, token.clone());
    supervisor.spawn("managedresources", watched);
    supervisor.spawn("leader election", clusters.election.owned_by(owner).run(token.clone()));

    let targets = Targets::new(
        target,
        to_target,
        key.clone(),
        Arc::clone(&world),
        Arc::clone(&queue),
        metrics.clone(),
        failing,
        token.clone(),
    );
    let pace = Arc::new(Pace::new(traffic, args.qps, args.burst));
    let reconciler = Reconciler::new(
        clusters.leadership,
        pace,
        clusters.source_writer,
        clusters.target_writer,
        &args,
        key,
        world,
        queue,
        targets,
        to_source,
        metrics,
    );
    supervisor.spawn("sick kinds", Arc::clone(&reconciler).attend(token.clone()));
    for _ in 0..args.concurrent_syncs.get() {
        supervisor.spawn("reconciler", Arc::clone(&reconciler).work(token.clone()));
    }
    tracing::info!(class = args.class, "controller started");
    supervisor.run().await
}
