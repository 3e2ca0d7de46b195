//! Clients of the source cluster and, if it is another one, of the target cluster.

use anyhow::Context as _;
use holdfast_runtime::connect::{self, Cluster};
use holdfast_runtime::identity;
use holdfast_runtime::traffic::Traffic;
use kube::Client;
use prometheus_client::registry::Registry;

use super::cli::Args;

/// The user agent of our requests.
pub const AGENT: &str = concat!("holdfast-webhook/", env!("CARGO_PKG_VERSION"));
const PREFIX: &str = "holdfast_webhook";
const TARGET: &str = "target cluster";

/// Clients of both.
pub struct Clusters {
    /// The cluster of ManagedResources, Secrets, Events and our certificate.
    pub source: Client,
    /// The cluster of the managed objects, if it is another one.
    pub target: Option<Client>,
    /// The requests to the source.
    pub traffic: Traffic,
    /// Keep these, so that credentials are renewed.
    pub upkeep: Vec<Cluster>,
}

impl Clusters {
    /// Makes the clients; sends nothing yet.
    ///
    /// # Errors
    /// The settings do not say how to reach a cluster, or as which user.
    pub async fn open(args: &Args, registry: &mut Registry) -> anyhow::Result<Self> {
        let traffic = Traffic::default();
        traffic.register(registry, PREFIX, "source");
        let mut cluster = args.connect.cluster(AGENT, &traffic).await?;
        let (source, mut upkeep) = (cluster.client()?, vec![cluster]);
        let Some(path) = &args.target_kubeconfig else { return Ok(Self { source, target: None, traffic, upkeep }) };
        let own = Traffic::default();
        own.register(registry, PREFIX, "target");
        let mut cluster = args.connect.other(path.clone(), AGENT, &own).await.context(TARGET)?;
        let target = Some(cluster.client().context(TARGET)?);
        upkeep.push(cluster);
        Ok(Self { source, target, traffic, upkeep })
    }

    /// Waits a while for API servers out of reach. Returns our user in the target, if it is another cluster.
    ///
    /// # Errors
    /// They stay out of reach, refuse, or are too old.
    pub async fn ask(&self) -> anyhow::Result<Option<String>> {
        connect::check_server_version(&self.source).await?;
        let Some(target) = &self.target else { return Ok(None) };
        connect::check_server_version(target).await.context(TARGET)?;
        let user = identity::ask(target).await.context(TARGET)?.username;
        let user = user.filter(|name| !name.is_empty()).context("the target cluster does not say which user we are")?;
        tracing::info!(user, "our user in the target cluster");
        Ok(Some(user))
    }
}
