//! Wiring: from the command line to running tasks.

use std::sync::Arc;

use holdfast_core::key::NamespacedName;
use holdfast_core::protect::Rules;
use holdfast_runtime::index::{SharedIndex, follow};
use holdfast_runtime::readiness::{Latch, Readiness};
use holdfast_runtime::settings::Loaded;
use holdfast_runtime::supervise::Supervisor;
use holdfast_runtime::{connect, listen, probes, telemetry, traffic::Traffic};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::certificates::{self, Current, Lifetimes, Store, service_names};
use crate::cli::Args;
use crate::clients::Clients;
use crate::freshness::Freshness;
use crate::metrics::Metrics;
use crate::overrides::ClusterOverrides;
use crate::registration;
use crate::secret_reader::ClusterReader;
use crate::server::Server;
use crate::trial::Trial;

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
    let probes = args.probes.bind().await?;
    let listener = listen::bind(args.bind_address, "the API server's reviews").await?;
    let allowed = match args.client_ca_file.clone() {
        Some(path) => Some(Clients::load(path, args.client_names.clone()).await?),
        None => None,
    };
    let traffic = Traffic::default();
    let opened = args.connect.cluster(concat!("holdfast-webhook/", env!("CARGO_PKG_VERSION")), &traffic);
    let opened = supervisor.start(async { Ok(opened.await?) }).await?;
    let Some(mut cluster) = opened else { return Ok(()) };
    let client = cluster.client()?;

    let (token, readiness, metrics) = (supervisor.token(), Readiness::default(), Metrics::default());
    let (leaving, staying) = (supervisor.leaving(), readiness.latch("it is shutting down"));
    staying.set(true);
    supervisor.spawn("farewell", farewell(leaving.clone(), staying, token.clone()));
    let freshness = Freshness { heard: traffic.heard(), limit: args.stale_after, remark: readiness.remark() };
    supervisor.spawn("freshness", freshness.keep(metrics.clone(), token.clone()));
    if let Some(clients) = allowed.clone() {
        supervisor.spawn("client CA", clients.keep(args.connect.credentials_period, token.clone()));
    }
    let known = readiness.latch("first list of ManagedResources");
    let certified = readiness.latch("certificate");
    let registered = readiness.latch("registration");
    let reverting = readiness.latch("registration to revert");
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    traffic.register(&mut registry, "holdfast_webhook", "source");
    supervisor.spawn("probes", probes::serve(probes, readiness, Arc::new(registry), token.clone()));
    supervisor.spawn("credentials", cluster.keep(token.clone()));

    let answered = supervisor.start(async { Ok(connect::check_server_version(&client).await?) }).await?;
    if answered.is_none() {
        return Ok(());
    }

    let index = SharedIndex::default();
    let watched = {
        let (index, metrics) = (index.clone(), metrics.clone());
        move |_: &_| {
            let objects = index.read(|index| index.map_or(0, holdfast_core::ownership::Index::object_count));
            metrics.index_objects.set(i64::try_from(objects).unwrap_or(i64::MAX));
        }
    };
    supervisor
        .spawn("watch of ManagedResources", follow(client.clone(), None, index.clone(), known, token.clone(), watched));

    let namespace = args.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let names = service_names(&args.service, &namespace);
    let rules = Rules { home: namespace.clone(), ..args.rules() };
    let secret = NamespacedName::new(namespace, &args.certificate_secret);
    let store = Store::new(client.clone(), secret, names, Lifetimes::default());
    let (sender, certificate) = Current::channel();
    supervisor.spawn(
        "certificates",
        certificates::keep(store, client.clone(), sender, metrics.clone(), certified, token.clone()),
    );
    let (client_, name) = (client.clone(), args.validating_configuration.clone());
    let keep = registration::keep::<ValidatingWebhookConfiguration>;
    supervisor.spawn("registration", keep(client_, name, certificate.clone(), registered, token.clone()));
    let (client_, name) = (client.clone(), args.mutating_configuration.clone());
    let keep = registration::keep::<MutatingWebhookConfiguration>;
    supervisor.spawn("registration to revert", keep(client_, name, certificate.clone(), reverting, token.clone()));

    let reader = Arc::new(ClusterReader(client.clone()));
    let overrides = Arc::new(ClusterOverrides::new(client.clone()));
    let app = App::new(index, rules, reader, overrides, metrics.clone()).with_trial(Trial::new(client));
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
