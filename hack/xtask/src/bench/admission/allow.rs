//! The yardstick: a webhook that allows everything, by the same way as ours: a Service, a proxy, TLS.
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::player;
use holdfast_e2e::review_server::ReviewServer;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::stage::{HOME, Stage, resource};

const NAME: &str = "allows";
const PORT: u16 = 9443;
/// Objects with this label are sent to it.
pub(super) const LABEL: &str = "bench.example.com/allowed";

/// It serves until it is dropped.
pub(super) struct Allows {
    _server: ReviewServer,
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

        let server = ReviewServer::start(&format!("{NAME}.{HOME}.svc"), |_, body| allow(body)).await?;
        let front = TcpListener::bind(SocketAddr::new(address, PORT)).await.context("listen on the ClusterIP")?;
        let mut passing = JoinSet::new();
        passing.spawn(player::forward_all(front, server.address));

        let configurations = stage.validating_configurations();
        let rule =
            json!({"apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"], "operations": ["UPDATE"]});
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": NAME},
            "webhooks": [{"name": "allows.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": [rule],
                "failurePolicy": "Fail", "objectSelector": {"matchLabels": {LABEL: "true"}},
                "clientConfig": {"service": {"name": NAME, "namespace": HOME, "port": PORT},
                    "caBundle": STANDARD.encode(&server.certificate)}}],
        });
        configurations.create(&PostParams::default(), &serde_json::from_value(configuration)?).await?;
        Ok(Self { _server: server, _passing: passing, configurations })
    }

    /// # Errors
    /// It is still registered.
    pub(super) async fn stop(self) -> Result<()> {
        self.configurations.delete(NAME, &DeleteParams::default()).await.context("take the yardstick away")?;
        Ok(())
    }
}

/// The least that a webhook has to read.
#[derive(Deserialize)]
struct Review {
    request: Asked,
}

#[derive(Deserialize)]
struct Asked {
    uid: String,
}

fn allow(body: &[u8]) -> Value {
    let uid = serde_json::from_slice::<Review>(body).map(|review| review.request.uid).unwrap_or_default();
    json!({"uid": uid, "allowed": true})
}
