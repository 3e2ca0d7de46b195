//! Wiring: from the command line to running tasks.

use std::sync::Arc;

use holdfast_core::key::NamespacedName;
use holdfast_core::protect::Rules;
use holdfast_runtime::index::{SharedIndex, follow};
use holdfast_runtime::readiness::{Latch, Readiness};
use holdfast_runtime::settings::Loaded;
use holdfast_runtime::supervise::Supervisor;
use holdfast_runtime::{listen, probes, telemetry};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::certificates::{Latches, Parts};
use super::cli::Args;
use super::clusters::{AGENT, Clusters};
use super::freshness::Freshness;
use crate::admission::audit_only::Trial;
use crate::admission::pause_access::ClusterOverrides;
use crate::admission::secret_reader::ClusterReader;
use crate::certificates::server_names;
use crate::metrics::Metrics;
use crate::server::Server;
use crate::server::app::App;
use crate::server::client_auth::Clients;

/// Runs until a signal comes or something that we cannot do without fails.
pub async fn run(loaded: Loaded<Args>) -> anyhow::Result<()> {
    let Loaded { args, remarks } = loaded;
    telemetry::init(&args.log)?;
    for remark in remarks {
        tracing::warn!("{remark}");
    }
    let mut supervisor = Supervisor::new()?;
    supervisor.linger(args.shutdown_delay);
    // Ports first: what is wrong with them shows at once.
    let probes = args.probes.bind(args.listen).await?;
    let listener = listen::bind(args.bind_address.on(args.listen.bind_ip), "the API server's reviews").await?;
    let allowed = match args.client_ca_file.clone() {
        Some(path) => Some(Clients::load(path, args.client_names.clone()).await?),
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
    let (leaving, staying) = (supervisor.leaving(), readiness.latch("it is shutting down"));
    staying.set(true);
    supervisor.spawn("farewell", farewell(leaving.clone(), staying, token.clone()));
    let freshness = Freshness { heard: clusters.traffic.heard(), limit: args.stale_after, remark: readiness.remark() };
    supervisor.spawn("freshness", freshness.keep(metrics.clone(), token.clone()));
    if let Some(clients) = allowed.clone() {
        supervisor.spawn("client CA", clients.keep(args.connect.credentials_period, token.clone()));
    }
    let known = readiness.latch("first list of ManagedResources");
    metrics.register(&mut registry);
    let latches = Latches::of(&readiness, &clusters);
    supervisor.spawn("probes", probes::serve(probes, readiness, Arc::new(registry), token.clone()));
    for cluster in std::mem::take(&mut clusters.kept) {
        supervisor.spawn("credentials", cluster.keep(token.clone()));
    }
    let Some(user) = supervisor.start(clusters.ask()).await? else { return Ok(()) };
    let owner = async { Ok::<_, anyhow::Error>(args.owner.owner(&client, Some(&namespace), AGENT).await) };
    let Some(owner) = supervisor.start(owner).await? else { return Ok(()) };

    let index = SharedIndex::default();
    let watched = {
        let (index, metrics) = (index.clone(), metrics.clone());
        move |_: &_| {
            let objects = index.read(|index| index.map_or(0, holdfast_core::inventory::index::Index::object_count));
            metrics.index_objects.set(i64::try_from(objects).unwrap_or(i64::MAX));
        }
    };
    supervisor
        .spawn("watch of ManagedResources", follow(client.clone(), None, index.clone(), known, token.clone(), watched));

    let rules = Rules { home: namespace.clone(), ..args.rules() };
    let target_rules = user.clone().map(|user| {
        let own = args.target_own_users.iter().cloned().chain([user]).collect();
        Rules { exempt: args.exempt(own), ..rules.clone() }
    });
    let secret = NamespacedName::new(namespace, &args.certificate_secret);
    let parts =
        Parts { args: &args, clusters: &clusters, metrics: &metrics, token: &token, secret, owner, names, user };
    let certificate = parts.certify(&mut supervisor, latches);

    let reader = Arc::new(ClusterReader(client.clone()));
    let overrides = Arc::new(ClusterOverrides::new(client.clone()));
    let mut app = App::new(index, rules, reader, overrides, metrics.clone()).with_trial(Trial::new(client));
    if let Some(rules) = target_rules {
        app = app.with_target_rules(rules);
    }
    let server = Server::new(Arc::new(app), certificate, metrics).for_clients(allowed).leaving(leaving);
    supervisor.spawn("server", server.serve(listener, token));
    supervisor.run().await
}

/// Takes back our readiness before anything ends, so that nobody sends more reviews.
async fn farewell(leaving: CancellationToken, staying: Latch, token: CancellationToken) -> anyhow::Result<()> {
    leaving.cancelled().await;
    staying.set(false);
    token.cancelled().await;
    Ok(())
}
