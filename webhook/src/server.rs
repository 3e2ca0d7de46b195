//! HTTPS, HTTP/1.1 and HTTP/2: the API server speaks the former to Services and the latter to localhost (design §11).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::certificates::Current;

/// Connections at a time; more wait in the backlog of the port.
const CONNECTIONS: usize = 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to send a request's head. To hyper this is also how long an idle HTTP/1.1 connection stays
/// open, and it must exceed the 90 s after which the API server closes it: a POST on a connection that we are just closing
/// is not repeated, and a failed call means that the edit passes.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 256;
/// How long connections get to finish at shutdown; less than the supervisor gives us.
const DRAIN: Duration = Duration::from_secs(4);

/// Serves reviews until the token is cancelled, then finishes those that have begun.
///
/// The certificate is looked up for each connection, so a new one counts at once. Connections that come before there is
/// one are closed.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    certificate: Current,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let slot = tokio::select! {
            () = token.cancelled() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot.context("the server's limit of connections is gone")?,
        };
        let accepted = tokio::select! {
            () = token.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or the client is gone already: later connections may fare better.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (app, certificate, watcher) = (Arc::clone(&app), certificate.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _slot = slot;
            if let Err(error) = connection(stream, app, &certificate, watcher).await {
                tracing::debug!(error = format!("{error:#}"), "a connection ended with an error");
            }
        });
    }
    drop(listener);
    if timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not finish in time");
    }
    Ok(())
}

async fn connection(stream: TcpStream, app: Arc<App>, certificate: &Current, watcher: Watcher) -> anyhow::Result<()> {
    let loaded = certificate.get().context("there is no certificate yet")?;
    stream.set_nodelay(true)?;
    let accept = TlsAcceptor::from(Arc::clone(&loaded.config)).accept(stream);
    let stream =
        timeout(HANDSHAKE_TIMEOUT, accept).await.context("the TLS handshake timed out")?.context("TLS handshake")?;
    let service = service_fn(move |request: http::Request<Incoming>| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(app.answer(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    watcher.watch(connection).await.map_err(|error| anyhow::anyhow!(error))
}
