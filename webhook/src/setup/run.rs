//! Wiring: from the command line to running tasks.

use std::sync::Arc;

use holdfast_core::inventory::index::Index;
use holdfast_core::key::NamespacedName;
use holdfast_core::protect::Rules;
use holdfast_runtime::index::{SharedIndex, follow};
use holdfast_runtime::readiness::{Latch, Readiness};
use holdfast_runtime::settings::LoadedSettings;
use holdfast_runtime::supervise::Supervisor;
use holdfast_runtime::{listen, probes, telemetry};
use kube::Client;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::certificates::{CertificateTasks, Latches};
use super::cli::Args;
use super::clusters::{AGENT, Clusters};
use super::freshness::Freshness;
use crate::admission::audit_only::AuditOnlyEvents;
use crate::admission::pause_access::ClusterPauseAccess;
use crate::admission::reviewer::Reviewer;
use crate::admission::secret_reader::ClusterReader;
use crate::certificates::server_names;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::server::Server;
use crate::server::app::App;
use crate::server::client_auth::ClientAuth;

/// Runs until a signal comes or a task fails.
pub async fn run(loaded: LoadedSettings<Args>) -> anyhow::Result<()> {
    let LoadedSettings { args, warnings } = loaded;
    telemetry::init(&args.log)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let mut supervisor = Supervisor::new()?;
    supervisor.shutdown_delay(args.shutdown_delay);
    // Ports first, so that an address in use shows at once.
    let probes = args.probes.bind(args.listen).await?;
    let listener = listen::bind(args.bind_address.on(args.listen.bind_ip), "the API server's reviews").await?;
    let clients = match args.client_ca_file.clone() {
        Some(path) => Some(ClientAuth::load(path, args.client_names.clone()).await?),
        None => None,
    };
    let mut registry = Registry::default();
    let opened = supervisor.start(Clusters::open(&args, &mut registry)).await?;
    let Some(mut clusters) = opened else { return Ok(()) };
    let client = clusters.source.clone();
    let namespace = args.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let names = server_names::names(&args.service, &namespace, args.advertise_url.as_deref())?;
    args.check()?;

    let (token, readiness, metrics) = (supervisor.token(), Readiness::default(), Metrics::default());
    spawn_upkeep(&mut supervisor, &args, &readiness, &metrics, &mut clusters, clients.clone());
    let listed = readiness.latch("first list of ManagedResources");
    metrics.register(&mut registry);
    let latches = Latches::of(&readiness, &clusters);
    supervisor.spawn("probes", probes::serve(probes, readiness, Arc::new(registry), token.clone()));
    let Some(user) = supervisor.start(clusters.ask()).await? else { return Ok(()) };
    let owner = async { Ok::<_, anyhow::Error>(args.owner.owner(&client, Some(&namespace), AGENT).await) };
    let Some(owner) = supervisor.start(owner).await? else { return Ok(()) };

    let index = spawn_index(&mut supervisor, client.clone(), listed, metrics.clone());
    let reviewer = reviewer(&args, &namespace, user.clone(), client, index, metrics.clone());
    let secret = NamespacedName::new(namespace, &args.certificate_secret);
    let tasks = CertificateTasks {
        args: &args,
        clusters: &clusters,
        metrics: &metrics,
        token: &token,
        secret,
        owner,
        names,
        user,
    };
    let certificate = tasks.spawn(&mut supervisor, latches);
    let server = Server::new(Arc::new(App::new(reviewer)), certificate, metrics);
    let server = server.for_clients(clients).draining(supervisor.draining());
    supervisor.spawn("server", server.serve(listener, token));
    supervisor.run().await
}

/// Tasks that keep credentials, readiness and metrics up to date.
fn spawn_upkeep(
    supervisor: &mut Supervisor,
    args: &Args,
    readiness: &Readiness,
    metrics: &Metrics,
    clusters: &mut Clusters,
    clients: Option<ClientAuth>,
) {
    let token = supervisor.token();
    let (draining, accepting) = (supervisor.draining(), readiness.latch("it is shutting down"));
    accepting.set(true);
    supervisor.spawn("readiness at shutdown", not_ready_on_shutdown(draining, accepting, token.clone()));
    let freshness =
        Freshness { last_activity: clusters.traffic.last_activity(), limit: args.stale_after, note: readiness.note() };
    supervisor.spawn("freshness", freshness.report(metrics.clone(), token.clone()));
    if let Some(clients) = clients {
        supervisor.spawn("client CA", clients.reload(args.connect.credentials_period, token.clone()));
    }
    for cluster in std::mem::take(&mut clusters.upkeep) {
        supervisor.spawn("credentials", cluster.keep(token.clone()));
    }
}

/// The index of managed objects, kept up to date by a watch.
fn spawn_index(supervisor: &mut Supervisor, client: Client, listed: Latch, metrics: Metrics) -> SharedIndex {
    let index = SharedIndex::default();
    let count = {
        let index = index.clone();
        move |_: &_| {
            let objects = index.read(|index| index.map_or(0, Index::object_count));
            metrics.index_objects.set(i64::try_from(objects).unwrap_or(i64::MAX));
        }
    };
    let watch = follow(client, None, index.clone(), listed, supervisor.token(), count);
    supervisor.spawn("watch of ManagedResources", watch);
    index
}

/// `user` is who we are in the target, if it is another cluster.
fn reviewer(
    args: &Args,
    namespace: &str,
    user: Option<String>,
    client: Client,
    index: SharedIndex,
    metrics: Metrics,
) -> Reviewer {
    let rules = Rules { home: namespace.to_owned(), ..args.rules() };
    let target_rules = user.map(|user| {
        let own = args.target_own_users.iter().cloned().chain([user]).collect();
        Rules { exempt: args.exempt(own), ..rules.clone() }
    });
    let events = Events::new(client.clone());
    let access = Arc::new(ClusterPauseAccess { client: client.clone(), events: events.clone() });
    let reviewer = Reviewer::new(index, rules, Arc::new(ClusterReader(client)), access, metrics)
        .with_audit_only_events(AuditOnlyEvents(events));
    match target_rules {
        Some(rules) => reviewer.with_target_rules(rules),
        None => reviewer,
    }
}

/// Turns unready at the begin of the shutdown, so that clients send their reviews to other replicas.
async fn not_ready_on_shutdown(
    draining: CancellationToken,
    accepting: Latch,
    token: CancellationToken,
) -> anyhow::Result<()> {
    draining.cancelled().await;
    accepting.set(false);
    token.cancelled().await;
    Ok(())
}
