//! The server over real sockets: both versions of HTTP, a swapped certificate, shutdown.

mod client_auth;
mod misuse;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_runtime::connect::install_crypto_provider;
use holdfast_runtime::listen;
use holdfast_webhook::certificates::{
    CertificateWatch, Finding, Lifetimes, ServingCertificate, inspect, issue, service_names,
};
use holdfast_webhook::metrics::Metrics;
use holdfast_webhook::server;
use holdfast_webhook::server::app::App;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::fixtures::{Cluster, app, deployment, index, review, reviewer};

struct Server {
    address: SocketAddr,
    certificate: watch::Sender<Option<Arc<ServingCertificate>>>,
    draining: CancellationToken,
    token: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

async fn start(cluster: Cluster) -> Server {
    start_with(app(index(), cluster), |server| server).await
}

async fn start_with(app: App, change: impl FnOnce(server::Server) -> server::Server) -> Server {
    install_crypto_provider();
    let listener = listen::bind(SocketAddr::from(([127, 0, 0, 1], 0)), "tests").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (certificate, current) = CertificateWatch::channel();
    let (draining, token) = (CancellationToken::new(), CancellationToken::new());
    let server = server::Server::new(Arc::new(app), current, Metrics::default()).draining(draining.clone());
    let task = tokio::spawn(change(server).serve(listener, token.clone()));
    Server { address, certificate, draining, token, task }
}

impl Server {
    /// With a certificate.
    fn certified(&self) -> Arc<ServingCertificate> {
        let loaded = certificate();
        self.certificate.send(Some(Arc::clone(&loaded))).unwrap();
        loaded
    }
}

type Http1 = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

/// A connection that speaks HTTP/1.1.
async fn http1(server: &Server, loaded: &ServingCertificate) -> Http1 {
    let stream = connect(server.address, loaded, b"http/1.1").await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn certificate() -> Arc<ServingCertificate> {
    let (names, now) = (service_names("holdfast-webhook", "holdfast-system"), Timestamp::now());
    let issued = issue(&names, Lifetimes::default(), now).unwrap();
    let data = [("ca.crt", issued.authority), ("tls.crt", issued.leaf), ("tls.key", issued.leaf_key)]
        .map(|(key, pem)| (key.to_owned(), pem.into_bytes()))
        .into();
    let Finding::Good(loaded) = inspect(&data, &names, now) else { panic!() };
    Arc::new(loaded)
}

async fn connect(
    address: SocketAddr,
    trusted: &ServingCertificate,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&trusted.bundle).unwrap()).unwrap();
    connect_with(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth(), address, protocol).await
}

async fn connect_with(
    mut config: ClientConfig,
    address: SocketAddr,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("holdfast-webhook.holdfast-system.svc").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

fn request() -> http::Request<Full<Bytes>> {
    let review = review("UPDATE", ("apps", "deployments", "Deployment"), "alice", &deployment(2), &deployment(3));
    http::Request::post("https://holdfast-webhook.holdfast-system.svc/protect")
        .body(Full::new(review.to_string().into()))
        .unwrap()
}

async fn is_refusal(response: http::Response<hyper::body::Incoming>) -> bool {
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    answer["response"]["uid"] == "0000-1" && answer["response"]["allowed"] == false
}

#[tokio::test]
async fn both_versions_of_http_are_served() {
    let server = start(Cluster::HasNot).await;
    let loaded = certificate();
    assert!(connect(server.address, &loaded, b"h2").await.is_err(), "no certificate yet");
    server.certificate.send(Some(Arc::clone(&loaded))).unwrap();

    let stream = connect(server.address, &loaded, b"http/1.1").await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        sender.ready().await.unwrap();
        assert!(is_refusal(sender.send_request(request()).await.unwrap()).await, "HTTP/1.1");
    }

    let stream = connect(server.address, &loaded, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut first, mut second) = (sender.clone(), sender);
    let (a, b) = tokio::join!(first.send_request(request()), second.send_request(request()));
    assert!(is_refusal(a.unwrap()).await && is_refusal(b.unwrap()).await, "HTTP/2");

    server.token.cancel();
    server.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn a_new_certificate_counts_at_once() {
    let server = start(Cluster::HasNot).await;
    let (old, new) = (certificate(), certificate());
    server.certificate.send(Some(Arc::clone(&old))).unwrap();
    assert!(connect(server.address, &old, b"http/1.1").await.is_ok());
    server.certificate.send(Some(Arc::clone(&new))).unwrap();
    assert!(connect(server.address, &new, b"http/1.1").await.is_ok());
    assert!(connect(server.address, &old, b"http/1.1").await.is_err());
}

#[tokio::test]
async fn reviews_that_have_begun_are_finished_at_shutdown() {
    let server = start(Cluster::Hangs).await;
    let loaded = certificate();
    server.certificate.send(Some(Arc::clone(&loaded))).unwrap();
    let stream = connect(server.address, &loaded, b"http/1.1").await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let new = json!({"metadata": {"name": "m"}, "spec": {"secretRefs": [{"name": "s"}]}});
    let kind = ("resources.gardener.cloud", "managedresources", "ManagedResource");
    let body = review("CREATE", kind, "alice", &Value::Null, &new).to_string();
    let request = http::Request::post("/managedresources").body(Full::new(Bytes::from(body))).unwrap();
    let answer = tokio::spawn(sender.send_request(request));
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.token.cancel();
    assert_eq!(answer.await.unwrap().unwrap().status(), 200, "an answer although the server is going");
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_leaves_says_so_and_goes_on_for_a_while() {
    let server = start(Cluster::HasNot).await;
    let loaded = server.certified();
    let mut first = http1(&server, &loaded).await;
    assert!(is_refusal(first.send_request(request()).await.unwrap()).await);
    let stream = connect(server.address, &loaded, b"h2").await.unwrap();
    let (mut second, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let second_connection = tokio::spawn(connection);
    assert!(is_refusal(second.send_request(request()).await.unwrap()).await);

    server.draining.cancel();
    second_connection.await.unwrap().unwrap();
    first.ready().await.unwrap();
    let response = first.send_request(request()).await.unwrap();
    assert_eq!(response.headers()["connection"], "close", "the connection is used up");
    assert!(is_refusal(response).await);
    assert!(first.ready().await.is_err());
    let mut late = http1(&server, &loaded).await;
    assert!(is_refusal(late.send_request(request()).await.unwrap()).await, "who comes late is answered");
    let stream = connect(server.address, &loaded, b"h2").await.unwrap();
    let (mut late, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    assert!(is_refusal(late.send_request(request()).await.unwrap()).await, "over HTTP/2, too");
    assert!(!server.task.is_finished());
    server.token.cancel();
    server.task.await.unwrap().unwrap();
}
