//! The controller: watches ManagedResources and Secrets, applies what they declare, repairs what others change.
//!
//! Decisions are made in `holdfast_core`; this crate reads, executes and reports.

mod apply;
mod conclude;
pub mod config;
mod contact;
mod deletion;
mod digest_key;
mod discover;
mod election;
mod events;
mod execute;
mod fallback;
mod gate;
mod hidden;
mod hold;
mod load;
mod lossy;
mod managed_resources;
mod metrics;
mod pace;
mod prune;
mod queue;
mod reconcile;
mod refuse;
mod release;
mod report;
mod rhythm;
mod secrets;
mod steady;
mod targets;
mod turn;
mod world;

use std::sync::Arc;

use anyhow::Context as _;
use holdfast_runtime::{connect, probes, readiness::Readiness, supervise::Supervisor, telemetry, traffic::Traffic};
use prometheus_client::registry::Registry;

use crate::{
    config::Args, election::Election, metrics::Metrics, pace::Pace, queue::Queue, reconcile::Reconciler,
    targets::Targets, world::World,
};

/// Name towards the API server.
const USER_AGENT: &str = concat!("holdfast-controller/", env!("CARGO_PKG_VERSION"));

/// Runs until SIGTERM or until a task fails.
///
/// # Errors
/// Names in one line what could not be started or which task ended.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    telemetry::init(&args.log)?;
    let mut registry = Registry::default();
    let traffic = Traffic::default();
    traffic.register(&mut registry, "holdfast_controller", "source");
    let source = args.source.client(USER_AGENT, &traffic).await?;
    // Whatever writes goes through connections that fall silent with the leadership; watches and the Lease do not.
    let (election, leadership) = Election::new(&args.election, source.clone())?;
    let may_send = leadership.may_send();
    let source_writer = args.source.guarded_client(USER_AGENT, &traffic, &may_send).await?;
    let mut traffic = vec![traffic];
    let (target, target_writer) = match &args.target_kubeconfig {
        Some(path) => {
            let own = Traffic::default();
            own.register(&mut registry, "holdfast_controller", "target");
            let client = connect::client(Some(path), USER_AGENT, &own).await.context("target cluster")?;
            let writer = connect::guarded_client(Some(path), USER_AGENT, &own, &may_send).await;
            traffic.push(own);
            (client, writer.context("target cluster")?)
        }
        None => (source.clone(), source_writer.clone()),
    };
    let listener = probes::bind(args.probes_address).await?;
    connect::check_server_version(&source).await?;
    connect::check_server_version(&target).await.context("target cluster")?;

    let metrics = Metrics::register(&mut registry);
    let readiness = Readiness::default();
    let world = Arc::new(World::new(&args.class, args.repair.into()));
    let queue = Arc::new(Queue::default());

    let mut supervisor = Supervisor::new();
    let token = supervisor.token();
    let latch = readiness.latch("managedresources");
    supervisor.spawn(
        "managedresources",
        managed_resources::follow(source.clone(), Arc::clone(&world), Arc::clone(&queue), latch, token.clone()),
    );
    let latch = readiness.latch("secrets");
    supervisor.spawn(
        "secrets",
        secrets::follow(source.clone(), Arc::clone(&world), Arc::clone(&queue), latch, token.clone()),
    );

    supervisor.spawn("leader election", election.run(token.clone()));
    Metrics::observe(&mut registry, &world, &queue, &leadership);

    let namespace = std::env::var("POD_NAMESPACE").ok();
    let key = digest_key::obtain(&source, namespace.as_deref()).await?;
    let targets =
        Targets::new(target, key.clone(), Arc::clone(&world), Arc::clone(&queue), metrics.clone(), token.clone());
    let pace = Arc::new(Pace::new(traffic, args.qps, args.burst));
    let reconciler =
        Reconciler::new(leadership, pace, source_writer, target_writer, args, key, world, queue, targets, metrics);
    let reconciler = Arc::new(reconciler);
    for _ in 0..args.concurrent_syncs.get() {
        supervisor.spawn("reconciler", Arc::clone(&reconciler).work(token.clone()));
    }
    supervisor.spawn("probes", probes::serve(listener, readiness, Arc::new(registry), token));
    tracing::info!(class = args.class, "controller started");
    supervisor.run().await
}
