//! An admission webhook of the test's own: answers reviews over HTTPS on a loopback port.
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// It accepts connections until it is dropped.
pub struct ReviewServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate in PEM, which is the CA to trust.
    pub certificate: String,
    _accepting: JoinSet<()>,
}

impl ReviewServer {
    /// Listens under this name. `answer` makes the `response` of a review from the path and body of its request.
    ///
    /// # Errors
    /// There is no port, or no certificate can be made.
    pub async fn start<F>(name: &str, answer: F) -> Result<Self>
    where
        F: Fn(&str, &[u8]) -> Value + Send + Sync + 'static,
    {
        let issued = rcgen::generate_simple_self_signed(vec![name.to_owned()]).context("make a certificate")?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_no_client_auth().with_single_cert(vec![issued.cert.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen for reviews")?;
        let address = listener.local_addr().context("find out the port")?;
        let (answer, mut accepting) = (Arc::new(answer), JoinSet::new());
        accepting.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, acceptor.clone(), Arc::clone(&answer)));
            }
        });
        Ok(Self { address, certificate: issued.cert.pem(), _accepting: accepting })
    }
}

async fn serve<F>(stream: TcpStream, acceptor: TlsAcceptor, answer: Arc<F>)
where
    F: Fn(&str, &[u8]) -> Value + Send + Sync + 'static,
{
    // Small messages both ways: waiting for more to send would only add latency.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let answer = Arc::clone(&answer);
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            Ok::<_, Infallible>(reply(&answer(&path, &body)))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn reply(response: &Value) -> hyper::Response<Full<Bytes>> {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    let mut reply = hyper::Response::new(Full::new(review.to_string().into()));
    reply.headers_mut().insert("Content-Type", http::HeaderValue::from_static("application/json"));
    reply
}
