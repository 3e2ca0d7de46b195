//! Source and target: their clients, and what has to be known of them before work can begin.

use anyhow::Context as _;
use holdfast_core::digest::Key;
use holdfast_runtime::{
    connect::{self, Cluster},
    owner::Owner,
    traffic::Traffic,
};
use kube::Client;
use prometheus_client::registry::Registry;

use super::{USER_AGENT, cluster_identity, digest_key};
use crate::{
    config::Args,
    leader_election::{Election, Leadership},
};

const PREFIX: &str = "holdfast_controller";
const TARGET: &str = "target cluster";

/// How a cluster is reached.
#[derive(Clone)]
pub struct ClusterClients {
    /// For reading.
    pub client: Client,
    /// For writing: its connections fall silent with the leadership.
    pub writer: Client,
    /// What is sent to the cluster.
    pub traffic: Traffic,
}

/// Clients of both clusters, which may be one.
pub struct Clusters {
    /// Where ManagedResources, Secrets, Events and the Lease are.
    pub source: ClusterClients,
    /// Where the objects are.
    pub target: ClusterClients,
    /// Our part in the election.
    pub election: Election,
    /// Whether we lead.
    pub leadership: Leadership,
    /// To be kept, so that credentials are renewed.
    pub renewing: Vec<Cluster>,
}

impl Clusters {
    /// Makes the clients; sends nothing yet.
    ///
    /// # Errors
    /// There is no telling how to reach a cluster, or as whom.
    pub async fn open(args: &Args, registry: &mut Registry) -> anyhow::Result<Self> {
        let traffic = Traffic::cautious();
        traffic.register(registry, PREFIX, "source");
        let mut cluster = args.source.cluster(USER_AGENT, &traffic).await?;
        let client = cluster.client()?;
        let (election, leadership) = Election::new(&args.election, client.clone())?;
        let may_send = leadership.may_send();
        let writer = cluster.guarded_client(&may_send)?;
        let source = ClusterClients { client, writer, traffic };
        let mut renewing = vec![cluster];
        let target = match &args.target_kubeconfig {
            Some(path) => {
                let traffic = Traffic::cautious();
                traffic.register(registry, PREFIX, "target");
                let mut cluster = args.source.other(path.clone(), USER_AGENT, &traffic).await.context(TARGET)?;
                let client = cluster.client().context(TARGET)?;
                let writer = cluster.guarded_client(&may_send).context(TARGET)?;
                renewing.push(cluster);
                ClusterClients { client, writer, traffic }
            }
            None => source.clone(),
        };
        Ok(Self { source, target, election, leadership, renewing })
    }
}

/// What the API servers have told at the start.
pub struct Answers {
    /// The identity of the source cluster as the settings want it.
    pub cluster_id: String,
    /// The key of the digests.
    pub key: Key,
    /// Ownership of the Secrets and Lease that Holdfast creates.
    pub owner: Option<Owner>,
}

/// Asks for what has to be known before work can begin. Waits a while for API servers that
/// are out of reach.
///
/// # Errors
/// They stay out of reach, refuse, or are too old; the identity cannot be found out.
pub async fn ask(source: &Client, target: &Client, args: &Args) -> anyhow::Result<Answers> {
    connect::check_server_version(source).await?;
    if args.target_kubeconfig.is_some() {
        connect::check_server_version(target).await.context(TARGET)?;
    }
    let cluster_id = cluster_identity::resolve(source, &args.cluster_id).await?;
    let home = args.election.home();
    let owner = args.owner.owner(source, home, USER_AGENT).await;
    let key = digest_key::obtain(source, home, owner.as_ref()).await?;
    Ok(Answers { cluster_id, key, owner })
}
