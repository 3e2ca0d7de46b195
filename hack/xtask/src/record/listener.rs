//! An admission webhook that keeps every review it is sent.
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A review, and where it was sent.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) path: String,
    pub(super) review: Value,
}

impl Heard {
    /// The text of a field of the request; empty if there is none.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.review["request"].pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    heard: Vec<Heard>,
    /// Whose writes are refused after they were written down, so that the next act finds everything as it was.
    refused: Option<String>,
}

/// The server. It lives as long as the runtime.
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    /// In PEM.
    pub(super) certificate: String,
    state: Arc<Mutex<State>>,
}

impl Listener {
    /// Listens on a loopback port.
    ///
    /// # Errors
    /// There is no port, or no certificate can be made.
    pub(super) async fn start() -> Result<Self> {
        let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).context("make a certificate")?;
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_no_client_auth().with_single_cert(vec![key.cert.der().clone()], der)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen for reviews")?;
        let address = listener.local_addr().context("find out the port")?;
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, acceptor.clone(), Arc::clone(&shared)));
            }
        });
        Ok(Self { address, certificate: key.cert.pem(), state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose writes are refused from now on.
    pub(super) fn refuse(&self, user: Option<&str>) {
        self.state().refused = user.map(str::to_owned);
    }

    /// How many reviews came so far.
    pub(super) fn count(&self) -> usize {
        self.state().heard.len()
    }

    /// Those after the first so many.
    pub(super) fn since(&self, count: usize) -> Vec<Heard> {
        self.state().heard.iter().skip(count).cloned().collect()
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<Mutex<State>>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let answer = |request: hyper::Request<Incoming>| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(request, &state).await) }
    };
    let connection = hyper::server::conn::http1::Builder::new();
    let _ = connection.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

async fn answer(request: hyper::Request<Incoming>, state: &Mutex<State>) -> hyper::Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let uid = review["request"]["uid"].clone();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let is_refused = review.pointer("/request/userInfo/username").and_then(Value::as_str) == state.refused.as_deref();
    // A refusal by the mutating one would keep the review from the validating ones.
    let allowed = path == "/revert" || !is_refused;
    state.heard.push(Heard { path, review });
    let response = json!({"uid": uid, "allowed": allowed, "status": {"message": "written down", "code": 403}});
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    hyper::Response::new(Full::new(answer.to_string().into()))
}
