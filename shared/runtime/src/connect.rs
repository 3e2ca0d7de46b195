//! A cluster: from a kubeconfig file, or from the service account of our pod.
//!
//! The clients of a cluster never repeat a call by themselves (kube would, up to 15 times and for minutes): whoever calls
//! decides. What they show to the API server follows the files that it comes from, see [`Cluster::keep`].

mod access;
mod exec;
mod renewable;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::flags::positive_duration;
use clap::Args;
use kube::Client;
use kube::client::ClientBuilder;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::call::explain;
use crate::guarded::{self, MaySend};
use crate::reminder::Reminder;
use crate::traffic::Traffic;
use access::{Access, Origin};
use renewable::{Refusals, Renewable};

pub use crate::server_version::{ServerVersionError, check_server_version};

/// Credentials that the API server has refused in each answer for as many periods are given up.
const PATIENCE: u32 = 12;
/// Between two looks at the files, however many requests are refused.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// Flags about the connection.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// Path of a kubeconfig; without it the service account of the pod is used.
    #[arg(long, env = "HOLDFAST_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// How often to check whether kubeconfigs, tokens and certificates have been replaced.
    #[arg(long, env = "HOLDFAST_CREDENTIALS_PERIOD", default_value = "10s", value_parser = positive_duration)]
    #[arg(value_name = "DURATION")]
    pub credentials_period: Duration,
}

impl ConnectArgs {
    /// The cluster; `agent` names the program to the server, `traffic` is told of each request.
    ///
    /// # Errors
    /// There is no telling how to reach it, or as whom.
    pub async fn cluster(&self, agent: &'static str, traffic: &Traffic) -> Result<Cluster, ConnectError> {
        Cluster::open(self.kubeconfig.clone(), agent, traffic, self.credentials_period).await
    }

    /// The cluster of another kubeconfig.
    ///
    /// # Errors
    /// As [`ConnectArgs::cluster`].
    pub async fn other(
        &self,
        kubeconfig: PathBuf,
        agent: &'static str,
        traffic: &Traffic,
    ) -> Result<Cluster, ConnectError> {
        Cluster::open(Some(kubeconfig), agent, traffic, self.credentials_period).await
    }
}

/// There is no telling how to reach the cluster, or as whom.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read or is incomplete.
    #[error("cannot use kubeconfig {}: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why not; never quotes the file.
        reason: String,
    },
    /// No kubeconfig was given, and we do not run in a pod.
    #[error("no --kubeconfig is given, and this is not a pod: {0} is not set")]
    NotInPod(&'static str),
    /// The address of the API server cannot be used.
    #[error("cannot use {0:?} as the address of the API server")]
    Address(String),
    /// A file of the service account cannot be read.
    #[error("cannot read {} of the service account: {source}", path.display())]
    ServiceAccount {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The client cannot be built, for example because of a certificate that cannot be read.
    #[error("cannot build a client for {cluster}: {reason}")]
    Client {
        /// The API server.
        cluster: String,
        /// Why not.
        reason: String,
    },
}

/// Selects ring for all TLS of the process. To be called first in `main` and in each test that uses TLS; later calls do
/// nothing.
pub fn install_crypto_provider() {
    // An error means that one is installed already, and only ring is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A cluster and its clients.
pub struct Cluster {
    origin: Origin,
    agent: &'static str,
    traffic: Traffic,
    period: Duration,
    access: Access,
    loaded: Instant,
    refusals: Refusals,
    clients: Vec<(Renewable, Option<MaySend>)>,
}

impl Cluster {
    async fn open(
        kubeconfig: Option<PathBuf>,
        agent: &'static str,
        traffic: &Traffic,
        period: Duration,
    ) -> Result<Self, ConnectError> {
        let origin = kubeconfig.map_or(Origin::Pod, Origin::Kubeconfig);
        let access = origin.load(agent).await?;
        let (traffic, refusals, loaded) = (traffic.clone(), Refusals::default(), Instant::now());
        Ok(Self { origin, agent, traffic, period, access, loaded, refusals, clients: vec![] })
    }

    /// A client. Sends nothing yet.
    ///
    /// # Errors
    /// It cannot be built, for example because of a certificate that cannot be read.
    pub fn client(&mut self) -> Result<Client, ConnectError> {
        self.build(None)
    }

    /// As [`Cluster::client`], of which nothing gets to the network when `may_send` says no.
    ///
    /// # Errors
    /// As [`Cluster::client`].
    pub fn guarded_client(&mut self, may_send: &MaySend) -> Result<Client, ConnectError> {
        self.build(Some(may_send))
    }

    fn build(&mut self, may_send: Option<&MaySend>) -> Result<Client, ConnectError> {
        let transport = transport(&self.access, may_send)?;
        let renewable = Renewable::new(transport, self.refusals.clone());
        self.clients.push((renewable.clone(), may_send.cloned()));
        let namespace = self.access.config.default_namespace.clone();
        Ok(ClientBuilder::new(renewable, namespace).with_layer(&self.traffic).build())
    }

    /// Looks at the files in each period, and sooner when the API server answers 401. What was replaced is used by the next
    /// request of each client; what is on its way stays on its connection. An exec plugin is run again before what it gave
    /// expires, and after a 401. Files that cannot be used, half-written ones for example, leave everything as it is.
    ///
    /// # Errors
    /// The API server has answered nothing but 401 for twelve periods: the process has to start anew.
    pub async fn keep(mut self, token: CancellationToken) -> anyhow::Result<()> {
        let mut trouble = Reminder::default();
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.period) => {}
                () = self.refusals.next() => tokio::time::sleep(SHORTEST_PAUSE.min(self.period)).await,
            }
            let address = &self.access.config.cluster_url;
            if self.refusals.lasted() > self.period * PATIENCE {
                anyhow::bail!("{address} has refused our credentials (401) for {:?}", self.refusals.lasted());
            }
            match self.renew().await {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!(api_server = %self.access.config.cluster_url, "reloaded the credentials");
                }
                Err(error) => trouble.warn(&format!("{error}; the former credentials stay in use")),
            }
        }
    }

    /// Whether there was something to renew.
    async fn renew(&mut self) -> Result<bool, ConnectError> {
        let is_retry =
            self.refusals.is_refused() && self.access.is_from_plugin() && self.loaded.elapsed() >= self.period;
        if !is_retry && !self.access.is_outdated() {
            return Ok(false);
        }
        self.loaded = Instant::now();
        let access = self.origin.load(self.agent).await?;
        // All or none.
        let transports: Result<Vec<_>, _> =
            self.clients.iter().map(|(_, may_send)| transport(&access, may_send.as_ref())).collect();
        for ((renewable, _), transport) in self.clients.iter().zip(transports?) {
            renewable.replace(transport);
        }
        self.access = access;
        Ok(true)
    }
}

fn transport(access: &Access, may_send: Option<&MaySend>) -> Result<guarded::Transport, ConnectError> {
    guarded::transport(&access.config, may_send).map_err(|error| ConnectError::Client {
        cluster: access.config.cluster_url.to_string(),
        reason: explain(&error),
    })
}
