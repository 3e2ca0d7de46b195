//! The yardstick: a webhook that allows everything, by the same way as ours: a Service, a proxy, TLS.
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::player;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::super::stage::{HOME, Stage, resource};

const NAME: &str = "allows";
const PORT: u16 = 9443;
/// Objects with this label are sent to it.
pub(super) const LABEL: &str = "bench.example.com/allowed";

/// It serves until it is dropped.
pub(super) struct Allows {
    _tasks: JoinSet<()>,
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

        let issued = rcgen::generate_simple_self_signed([format!("{NAME}.{HOME}.svc")])?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![issued.cert.der().clone()], key)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut tasks = JoinSet::new();
        let front = TcpListener::bind(SocketAddr::new(address, PORT)).await.context("listen on the ClusterIP")?;
        tasks.spawn(player::forward_all(front, listener.local_addr()?));
        tasks.spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));

        let kind = resource(
            "admissionregistration.k8s.io",
            "v1",
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
        );
        let configurations: Api<DynamicObject> = Api::all_with(stage.client.clone(), &kind);
        let rule =
            json!({"apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"], "operations": ["UPDATE"]});
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": NAME},
            "webhooks": [{"name": "allows.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": [rule],
                "failurePolicy": "Fail", "objectSelector": {"matchLabels": {LABEL: "true"}},
                "clientConfig": {"service": {"name": NAME, "namespace": HOME, "port": PORT},
                    "caBundle": STANDARD.encode(issued.cert.pem())}}],
        });
        configurations.create(&PostParams::default(), &serde_json::from_value(configuration)?).await?;
        Ok(Self { _tasks: tasks, configurations })
    }

    /// # Errors
    /// It is still registered.
    pub(super) async fn stop(self) -> Result<()> {
        self.configurations.delete(NAME, &DeleteParams::default()).await.context("take the yardstick away")?;
        Ok(())
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service_fn(allow)).await;
        });
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

async fn allow(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let uid = serde_json::from_slice::<Review>(&body).map(|review| review.request.uid).unwrap_or_default();
    let answer = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": uid, "allowed": true}});
    let mut response = Response::new(Full::new(answer.to_string().into()));
    response.headers_mut().insert("Content-Type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}
