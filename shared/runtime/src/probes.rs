//! `/healthz`, `/readyz` and `/metrics` over plain HTTP/1.1, for kubelet and Prometheus.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::listen::{self, Endpoint, ListenArgs, ListenError};
use crate::readiness::Readiness;

/// Connections served at a time; more wait in the backlog of the port.
const CONNECTIONS: usize = 32;
/// How long a client may take to send a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may stay open.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Content type of the OpenMetrics text format.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Flags about probes and metrics.
#[derive(Clone, Debug, Args)]
pub struct ProbeArgs {
    /// Address of /healthz, /readyz and /metrics (plain HTTP).
    #[arg(long, env = "HOLDFAST_PROBES_ADDRESS", default_value = ":8081", value_name = "ADDRESS")]
    pub probes_address: Endpoint,

    /// A second address that serves the same, for metrics on a port of their own.
    #[arg(long, env = "HOLDFAST_METRICS_ADDRESS", value_name = "ADDRESS")]
    pub metrics_address: Option<Endpoint>,
}

impl ProbeArgs {
    /// Opens the ports for [`serve`].
    ///
    /// # Errors
    /// One of them cannot be opened.
    pub async fn bind(&self, listen: ListenArgs) -> Result<Vec<TcpListener>, ListenError> {
        let probes = self.probes_address.on(listen.bind_ip);
        let mut listeners = vec![listen::bind(probes, "probes and metrics").await?];
        // Port 0 is another one each time.
        let is_another = |address: &SocketAddr| *address != probes || address.port() == 0;
        let metrics = self.metrics_address.map(|address| address.on(listen.bind_ip));
        if let Some(address) = metrics.filter(is_another) {
            listeners.push(listen::bind(address, "metrics").await?);
        }
        for (listener, what) in listeners.iter().zip(["probes and metrics", "metrics"]) {
            if let Ok(address) = listener.local_addr() {
                tracing::info!(%address, "serving {what}");
            }
        }
        Ok(listeners)
    }
}

/// Serves probes and metrics until the token is cancelled.
///
/// `/healthz` is always OK (a dead task ends the process); `/readyz` is OK when no latch is missing and otherwise 503
/// with the names of those that are. A remark is on a line of its own, and changes nothing about that.
pub async fn serve(
    listeners: Vec<TcpListener>,
    readiness: Readiness,
    registry: Arc<Registry>,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let servers =
        listeners.into_iter().map(|listener| listening(listener, readiness.clone(), Arc::clone(&registry), &token));
    futures::future::try_join_all(servers).await.map(drop)
}

async fn listening(
    listener: TcpListener,
    readiness: Readiness,
    registry: Arc<Registry>,
    token: &CancellationToken,
) -> anyhow::Result<()> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let slot = tokio::select! {
            () = token.cancelled() => return Ok(()),
            slot = Arc::clone(&slots).acquire_owned() => slot?,
        };
        let accepted = tokio::select! {
            () = token.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, or the client is gone already: later connections may fare better.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (readiness, registry) = (readiness.clone(), Arc::clone(&registry));
        tokio::spawn(async move {
            let _slot = slot;
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection(stream, readiness, registry)).await;
        });
    }
}

async fn connection(stream: TcpStream, readiness: Readiness, registry: Arc<Registry>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &readiness, &registry);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection for probes and metrics ended with an error");
    }
}

fn answer(method: &Method, path: &str, readiness: &Readiness, registry: &Registry) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
    }
    match path {
        "/healthz" => plain(StatusCode::OK, "ok\n"),
        "/readyz" => {
            let missing = readiness.missing();
            let note = readiness.note().get().map(|text| format!("{text}\n")).unwrap_or_default();
            if missing.is_empty() {
                plain(StatusCode::OK, format!("ok\n{note}"))
            } else {
                plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n{note}", missing.join(", ")))
            }
        }
        "/metrics" => metrics(registry),
        _ => plain(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n"),
    }
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    let mut text = String::new();
    if prometheus_client::encoding::text::encode(&mut text, registry).is_err() {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n");
    }
    let mut response = plain(StatusCode::OK, text);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    response
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn probes_and_metrics_are_served() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = [listen::bind(any, "tests").await.unwrap(), listen::bind(any, "tests").await.unwrap()];
        let [address, second] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let (readiness, token) = (Readiness::default(), CancellationToken::new());
        let latch = readiness.latch("first list");
        let mut registry = Registry::default();
        let gauge = prometheus_client::metrics::gauge::Gauge::<i64>::default();
        registry.register("holdfast_test", "A test", gauge.clone());
        gauge.set(7);
        let server = tokio::spawn(serve(listeners.into(), readiness, Arc::new(registry), token.clone()));

        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let unready = get(address, "/readyz").await;
        assert!(unready.starts_with("HTTP/1.1 503") && unready.ends_with("not ready: first list\n"), "{unready}");
        latch.set(true);
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/metrics").await.contains("\nholdfast_test 7\n"));
        assert!(get(second, "/metrics").await.contains("\nholdfast_test 7\n"));
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404"));
        token.cancel();
        server.await.unwrap().unwrap();
    }
}
