//! Starts what the controllers share, then the controllers.

use std::sync::Arc;

use holdfast_runtime::{probes, readiness::Readiness, supervise::Supervisor};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use super::{Registration, Shared};
use crate::{
    config::{Args, ControllerArg},
    gauges,
    setup::clusters::{self, Answers, ClusterClients, Clusters},
    target::rate_limit::RateLimit,
    watch::{server_probe::ServerProbe, watch_status::FailingWatches},
};

/// Runs these controllers until SIGTERM or until a task fails. Probes come before anything is asked of an API server, which may
/// be silent.
///
/// # Errors
/// Names in one line what could not be started or which task ended.
pub(crate) async fn run(
    enabled: &[ControllerArg],
    args: Args,
    mut supervisor: Supervisor,
    listeners: Vec<TcpListener>,
) -> anyhow::Result<()> {
    let mut registry = Registry::default();
    let Some(clusters) = supervisor.start(Clusters::open(&args, &mut registry)).await? else { return Ok(()) };
    let (readiness, failing) = (Readiness::default(), Arc::new(FailingWatches::default()));
    gauges::observe_process(&mut registry, &failing, &clusters.leadership);
    let mut registration = Registration { args: &args, registry: &mut registry, readiness: &readiness };
    let controllers: Vec<_> = enabled.iter().map(|controller| super::new(*controller, &mut registration)).collect();
    let (token, connected) = (supervisor.token(), readiness.latch("API server"));
    supervisor.spawn("probes", probes::serve(listeners, readiness.clone(), Arc::new(registry), token.clone()));
    for cluster in clusters.renewing {
        supervisor.spawn("credentials", cluster.keep(token.clone()));
    }

    let answers = supervisor.start(clusters::ask(&clusters.source.client, &clusters.target.client, &args)).await?;
    let Some(Answers { cluster_id, key, owner }) = answers else { return Ok(()) };
    connected.set(true);
    let each = distinct(&args, &clusters.source, &clusters.target);
    watch_answers(&each, &args, &readiness, &mut supervisor);
    let traffic = each.iter().map(|(_, clients)| clients.traffic.clone()).collect();
    let rate_limit = Arc::new(RateLimit::new(traffic, args.qps, args.burst));
    let shared = Shared {
        args: Args { cluster_id, ..args },
        source: clusters.source,
        target: clusters.target,
        leadership: clusters.leadership,
        rate_limit,
        digest_key: key,
        readiness,
        failing,
        token: token.clone(),
    };
    for controller in controllers {
        controller.spawn(&shared, &mut supervisor);
    }
    supervisor.spawn("leader election", clusters.election.owned_by(owner).run(token));
    tracing::info!(class = shared.args.class, "controller started");
    supervisor.run().await
}

/// Each cluster once, with its name.
fn distinct(args: &Args, source: &ClusterClients, target: &ClusterClients) -> Vec<(&'static str, ClusterClients)> {
    let target = args.target_kubeconfig.as_ref().map(|_| ("target", target.clone()));
    [("source", source.clone())].into_iter().chain(target).collect()
}

/// Lets readiness say whether the API servers answer.
fn watch_answers(
    clusters: &[(&'static str, ClusterClients)],
    args: &Args,
    readiness: &Readiness,
    supervisor: &mut Supervisor,
) {
    for (cluster, clients) in clusters {
        let latch = readiness.latch(&format!("answers of the API server ({cluster})"));
        latch.set(true);
        let probe = ServerProbe {
            cluster,
            client: clients.client.clone(),
            traffic: clients.traffic.clone(),
            latch,
            note: readiness.note(),
            limit: args.unanswered_limit,
        };
        supervisor.spawn("pulse", probe.keep(supervisor.token()));
    }
}
