//! The yardstick: a webhook that allows everything, by the same way as ours: a Service, a proxy, TLS, a process of its own on
//! one thread. (Within this process, which also forwards the connection, it would save changing between processes.)
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::process::Process;
use holdfast_e2e::review_server::ReviewServer;
use holdfast_e2e::{leash, player, wait};
use holdfast_runtime::api::Api;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::stage::{HOME, Stage, resource};

const NAME: &str = "allows";
const PORT: u16 = 9443;
const START_LIMIT: Duration = Duration::from_secs(30);
/// Objects with this label are sent to it.
pub(super) const LABEL: &str = "bench.example.com/allowed";

/// It serves until it is dropped.
pub(super) struct Allows {
    server: Process,
    _passing: JoinSet<()>,
    configurations: Api<DynamicObject>,
}

impl Allows {
    /// # Errors
    /// It cannot be started or registered.
    pub(super) async fn start(stage: &Stage) -> Result<Self> {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": {"ports": [{"port": PORT}]}});
        let services: Api<DynamicObject> =
            Api::namespaced_with(stage.client.clone(), HOME, &resource("", "v1", "Service", "services"));
        let service = services.create(&PostParams::default(), &serde_json::from_value(service)?).await?;
        let address =
            service.data.pointer("/spec/clusterIP").and_then(Value::as_str).context("the Service has no IP")?;
        let address: IpAddr = address.parse().context("read the Service's IP")?;

        let (server, endpoint) = launch(&stage.directory().join("yardstick.log")).await?;
        let front = TcpListener::bind(SocketAddr::new(address, PORT)).await.context("listen on the ClusterIP")?;
        let mut passing = JoinSet::new();
        passing.spawn(player::forward_all(front, endpoint.address));

        let configurations = stage.validating_configurations();
        let rule =
            json!({"apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"], "operations": ["UPDATE"]});
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": NAME},
            "webhooks": [{"name": "allows.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": [rule],
                "failurePolicy": "Fail", "objectSelector": {"matchLabels": {LABEL: "true"}},
                "clientConfig": {"service": {"name": NAME, "namespace": HOME, "port": PORT},
                    "caBundle": STANDARD.encode(&endpoint.certificate)}}],
        });
        configurations.create(&PostParams::default(), &serde_json::from_value(configuration)?).await?;
        Ok(Self { server, _passing: passing, configurations })
    }

    /// # Errors
    /// It is still registered, or does not end.
    pub(super) async fn stop(self) -> Result<()> {
        self.configurations.delete(NAME, &DeleteParams::default()).await.context("take the yardstick away")?;
        self.server.kill().await
    }
}

/// Where the yardstick listens, and the certificate to trust; the one line that its process prints.
#[derive(Deserialize, Serialize)]
struct Endpoint {
    address: SocketAddr,
    certificate: String,
}

async fn launch(log: &Path) -> Result<(Process, Endpoint)> {
    let mut command = leash::command(std::env::current_exe().context("find the running executable")?)?;
    command.arg("allow").arg(format!("{NAME}.{HOME}.svc"));
    let server = Process::start("the yardstick", command, log)?;
    let endpoint = wait::eventually("the yardstick to listen", START_LIMIT, || async {
        let output = fs::read_to_string(log)?;
        serde_json::from_str(&output).with_context(|| format!("it says {output:?}"))
    });
    Ok((server, endpoint.await?))
}

/// What the yardstick's process does, until it is killed.
///
/// # Errors
/// It cannot listen.
pub(crate) async fn serve(name: &str) -> Result<()> {
    let server = ReviewServer::start(name, |_, body| allow(body)).await?;
    let endpoint = Endpoint { address: server.address, certificate: server.certificate.clone() };
    println!("{}", serde_json::to_string(&endpoint)?);
    std::future::pending().await
}

/// The least that a webhook has to read.
#[derive(Deserialize)]
struct Review {
    request: ReviewRequest,
}

#[derive(Deserialize)]
struct ReviewRequest {
    uid: String,
}

fn allow(body: &[u8]) -> Value {
    let uid = serde_json::from_slice::<Review>(body).map(|review| review.request.uid).unwrap_or_default();
    json!({"uid": uid, "allowed": true})
}
