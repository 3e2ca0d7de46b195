//! The cluster of the ManagedResources and, where it is another one, that of the managed objects.

use anyhow::Context as _;
use holdfast_runtime::connect::{self, Cluster};
use holdfast_runtime::identity;
use holdfast_runtime::traffic::Traffic;
use kube::Client;
use prometheus_client::registry::Registry;

use super::cli::Args;

/// Name towards the API server.
pub const AGENT: &str = concat!("holdfast-webhook/", env!("CARGO_PKG_VERSION"));
const PREFIX: &str = "holdfast_webhook";
const TARGET: &str = "target cluster";

/// Clients of both.
pub struct Clusters {
    /// Where ManagedResources, Secrets, Events and our certificate are.
    pub source: Client,
    /// Where the objects are, if that is another one.
    pub target: Option<Client>,
    /// What is sent to the source.
    pub traffic: Traffic,
    /// To be kept, so that credentials are renewed.
    pub kept: Vec<Cluster>,
}

impl Clusters {
    /// Makes the clients; sends nothing yet.
    ///
    /// # Errors
    /// There is no telling how to reach a cluster, or as whom.
    pub async fn open(args: &Args, registry: &mut Registry) -> anyhow::Result<Self> {
        let traffic = Traffic::default();
        traffic.register(registry, PREFIX, "source");
        let mut cluster = args.connect.cluster(AGENT, &traffic).await?;
        let (source, mut kept) = (cluster.client()?, vec![cluster]);
        let Some(path) = &args.target_kubeconfig else { return Ok(Self { source, target: None, traffic, kept }) };
        let own = Traffic::default();
        own.register(registry, PREFIX, "target");
        let mut cluster = args.connect.other(path.clone(), AGENT, &own).await.context(TARGET)?;
        let target = Some(cluster.client().context(TARGET)?);
        kept.push(cluster);
        Ok(Self { source, target, traffic, kept })
    }

    /// Waits a while for API servers that are out of reach. Returns who we are in the target, if it is another cluster.
    ///
    /// # Errors
    /// They stay out of reach, refuse, or are too old.
    pub async fn ask(&self) -> anyhow::Result<Option<String>> {
        connect::check_server_version(&self.source).await?;
        let Some(target) = &self.target else { return Ok(None) };
        connect::check_server_version(target).await.context(TARGET)?;
        let user = identity::ask(target).await.context(TARGET)?.username;
        let user = user.filter(|name| !name.is_empty()).context("the target cluster does not say who we are there")?;
        tracing::info!(user, "this is who we are in the target cluster");
        Ok(Some(user))
    }
}
