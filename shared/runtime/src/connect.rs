//! A client for a cluster: from a kubeconfig file, or from the service account of our pod.
//!
//! The client never repeats a call by itself (kube would, up to 15 times and for minutes): whoever calls decides.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http::{HeaderValue, Uri, header};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::call::explain;
use crate::guarded::{self, MaySend};
use crate::traffic::Traffic;

pub use crate::server_version::{ServerVersionError, check_server_version};

/// Where kubelet mounts the service account.
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Overrides [`SERVICE_ACCOUNT_DIR`], for pods that run without a container of their own.
const SERVICE_ACCOUNT_DIR_VARIABLE: &str = "HOLDFAST_SERVICE_ACCOUNT_DIR";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A silence longer than any watch lasts (290 s, and 5 s more until the watcher gives it up) means a dead connection.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Flags about the connection.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// Path of a kubeconfig; without it the service account of the pod is used.
    #[arg(long, env = "HOLDFAST_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

impl ConnectArgs {
    /// A client; `agent` names the program to the server, `traffic` is told of each request.
    pub async fn client(&self, agent: &str, traffic: &Traffic) -> Result<Client, ConnectError> {
        client(self.kubeconfig.as_deref(), agent, traffic).await
    }

    /// As [`ConnectArgs::client`], of which nothing gets to the network when `may_send` says no.
    pub async fn guarded_client(
        &self,
        agent: &str,
        traffic: &Traffic,
        may_send: &MaySend,
    ) -> Result<Client, ConnectError> {
        guarded_client(self.kubeconfig.as_deref(), agent, traffic, may_send).await
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

/// A client from the kubeconfig, or from the service account of our pod if there is none. Sends nothing yet.
pub async fn client(kubeconfig: Option<&Path>, agent: &str, traffic: &Traffic) -> Result<Client, ConnectError> {
    let config = config(kubeconfig, agent).await?;
    let cluster = config.cluster_url.to_string();
    let builder = ClientBuilder::try_from(config).map_err(|error| failed(cluster, &error))?;
    Ok(builder.with_layer(traffic).build())
}

/// As [`client`], of which nothing gets to the network when `may_send` says no.
pub async fn guarded_client(
    kubeconfig: Option<&Path>,
    agent: &str,
    traffic: &Traffic,
    may_send: &MaySend,
) -> Result<Client, ConnectError> {
    let config = config(kubeconfig, agent).await?;
    let cluster = config.cluster_url.to_string();
    guarded::client(&config, traffic, may_send).map_err(|error| failed(cluster, &error))
}

fn failed(cluster: String, error: &kube::Error) -> ConnectError {
    ConnectError::Client { cluster, reason: explain(error) }
}

async fn config(kubeconfig: Option<&Path>, agent: &str) -> Result<Config, ConnectError> {
    let mut config = match kubeconfig {
        Some(path) => from_file(path).await?,
        None => from_pod(|name| std::env::var(name).ok())?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    config.default_retry = false;
    // The server would spend more on compressing than the network does on carrying.
    config.disable_compression = true;
    if let Ok(agent) = HeaderValue::from_str(agent) {
        config.headers.push((header::USER_AGENT, agent));
    }
    Ok(config)
}

async fn from_file(path: &Path) -> Result<Config, ConnectError> {
    let failed = |error: KubeconfigError| ConnectError::Kubeconfig { path: path.to_owned(), reason: reason(&error) };
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(failed)
}

fn reason(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        // The error's own text shows lines of the file, which has credentials in it.
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!("not a kubeconfig in YAML (line {}, column {})", at.line(), at.column()),
            None => "not a kubeconfig in YAML".to_owned(),
        },
        KubeconfigError::CurrentContextNotSet => "it sets no current-context".to_owned(),
        other => crate::exit::chain(other),
    }
}

/// kube's own reader has the directory built in.
fn from_pod(variable: impl Fn(&'static str) -> Option<String>) -> Result<Config, ConnectError> {
    let required = |name| variable(name).ok_or(ConnectError::NotInPod(name));
    let address = address(&required("KUBERNETES_SERVICE_HOST")?, &required("KUBERNETES_SERVICE_PORT")?)?;
    let directory =
        PathBuf::from(variable(SERVICE_ACCOUNT_DIR_VARIABLE).unwrap_or_else(|| SERVICE_ACCOUNT_DIR.to_owned()));
    let (token, certificate) = (directory.join("token"), directory.join("ca.crt"));
    for path in [&token, &certificate] {
        std::fs::read(path).map_err(|source| ConnectError::ServiceAccount { path: path.clone(), source })?;
    }
    let mut config = Config::new(address);
    // By path and not by content: both are replaced while we run, and kube reads them again every minute.
    config.root_cert_file = Some(certificate);
    config.auth_info.token_file = Some(token.to_string_lossy().into_owned());
    if let Ok(namespace) = std::fs::read_to_string(directory.join("namespace")) {
        namespace.trim().clone_into(&mut config.default_namespace);
    }
    Ok(config)
}

fn address(host: &str, port: &str) -> Result<Uri, ConnectError> {
    let text = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(host)) => format!("https://[{host}]:{port}"),
        _ => format!("https://{host}:{port}"),
    };
    text.parse().map_err(|_| ConnectError::Address(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn broken_kubeconfigs_get_one_line_without_their_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let shown = path.display();
        for (content, expected) in [
            (None, "No such file or directory"),
            (Some("users:\n- name: x\n  user: {token: hunter2\n"), "not a kubeconfig in YAML"),
            (Some("hunter2"), "not a kubeconfig in YAML"),
            (Some(""), "it sets no current-context"),
            (
                Some("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: []\n"),
                "failed to load current context: x",
            ),
        ] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let error = client(Some(&path), "test", &Traffic::default()).await.err().unwrap().to_string();
            assert!(error.starts_with(&format!("cannot use kubeconfig {shown}: {expected}")), "{error}");
            assert!(!error.contains("hunter2") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_pod_is_read_from_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let variables = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("6443".to_owned()),
            SERVICE_ACCOUNT_DIR_VARIABLE => Some(directory.path().display().to_string()),
            _ => None,
        };
        let error = from_pod(variables).unwrap_err().to_string();
        assert!(error.contains("/token of the service account: No such file"), "{error}");
        for (name, content) in [("token", "t"), ("ca.crt", "c"), ("namespace", "garden\n")] {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        let config = from_pod(variables).unwrap();
        assert_eq!(config.cluster_url.to_string(), "https://[fd00::1]:6443/");
        assert_eq!(config.default_namespace, "garden");
        assert_eq!(config.root_cert_file.unwrap(), directory.path().join("ca.crt"));

        let error = from_pod(|_| None).unwrap_err().to_string();
        assert_eq!(error, "no --kubeconfig is given, and this is not a pod: KUBERNETES_SERVICE_HOST is not set");
    }
}
