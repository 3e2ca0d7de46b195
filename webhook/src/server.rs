//! HTTPS, HTTP/1.1 and HTTP/2: the API server speaks the former to Services and the latter to localhost (design §11).
//!
//! Slow clients cost a place among the connections, and only until somebody else needs it ([`connections`]). A body has
//! to arrive within the deadline of its review ([`app`]).
//!
//! A server that ends first says so in its answers (`Connection: close`, GOAWAY), so that clients go elsewhere with their next
//! request, and goes on for as long as it takes them to learn of it: a POST on a connection that we are just closing is not
//! repeated by the API server, and a failed call means that an edit passes, or under failure policy Fail that it fails.

pub mod app;
mod body;
pub mod client_auth;
mod connections;
mod size;
mod undecided;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificates::Current;
use crate::metrics::{End, Metrics, Protocol};

use app::App;
use client_auth::Clients;
use connections::{Connections, Place};

/// Connections at a time.
const CONNECTIONS: usize = 512;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to send a request's head. To hyper this is also how long an idle HTTP/1.1 connection stays
/// open, and it must exceed the 90 s after which the API server closes it, see above.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest head of a request, and what is read at a time of its body.
const BUFFER: usize = 64 << 10;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection, and what they may send without our having read it.
const STREAMS: u32 = 256;
const WINDOW: u32 = 256 << 10;
/// How long connections get to finish at shutdown; less than the supervisor gives us.
const DRAIN: Duration = Duration::from_secs(4);
/// First byte of a TLS connection (the type of record `handshake`).
const TLS: u8 = 0x16;
const NOT_PLAIN: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\
                         Content-Length: 37\r\n\r\nthis port speaks HTTPS and not HTTP.\n";

/// A server of reviews. Clones are the same.
#[derive(Clone)]
pub struct Server {
    app: Arc<App>,
    certificate: Current,
    clients: Option<Clients>,
    metrics: Metrics,
    connections: Connections,
    leaving: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// A server for everybody. The certificate is looked up for each connection, so a new one counts at once. Connections that
    /// come before there is one are closed.
    pub fn new(app: Arc<App>, certificate: Current, metrics: Metrics) -> Self {
        Self {
            app,
            certificate,
            clients: None,
            metrics,
            connections: Connections::new(CONNECTIONS),
            leaving: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// For these clients only.
    #[must_use]
    pub fn for_clients(mut self, clients: Option<Clients>) -> Self {
        self.clients = clients;
        self
    }

    /// Has clients go elsewhere with their next request once this is cancelled.
    #[must_use]
    pub fn leaving(mut self, leaving: CancellationToken) -> Self {
        self.leaving = leaving;
        self
    }

    /// With another limit of connections, for tests.
    #[must_use]
    pub fn with_connections(mut self, most: usize) -> Self {
        self.connections = Connections::new(most);
        self
    }

    /// Serves reviews until the token is cancelled, then finishes those that have begun.
    pub async fn serve(self, listener: TcpListener, token: CancellationToken) -> anyhow::Result<()> {
        loop {
            let accepted = tokio::select! {
                () = token.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or the client is gone already: later connections may fare better.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let place = tokio::select! {
                () = token.cancelled() => break,
                place = self.connections.enter() => place,
            };
            let (server, token) = (self.clone(), token.clone());
            self.tasks.spawn(async move {
                match server.connection((stream, peer), place, token).await {
                    Ok(end) => server.metrics.disconnected(end),
                    Err(error) => {
                        server.metrics.disconnected(End::Failed);
                        tracing::debug!(error = format!("{error:#}"), "a connection ended with an error");
                    }
                }
            });
        }
        drop(listener);
        self.tasks.close();
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.tasks.len(), "some connections did not finish in time");
        }
        Ok(())
    }

    async fn connection(
        &self,
        (stream, peer): (TcpStream, SocketAddr),
        place: Place,
        token: CancellationToken,
    ) -> anyhow::Result<End> {
        let loaded = self.certificate.get().context("there is no certificate yet")?;
        stream.set_nodelay(true)?;
        let config = match &self.clients {
            Some(clients) => Arc::new(clients.only(&loaded.config)?),
            None => Arc::clone(&loaded.config),
        };
        let stream = tokio::select! {
            () = place.has_to_go() => return Ok(End::Crowded),
            stream = timeout(HANDSHAKE_TIMEOUT, handshake(stream, config)) => stream,
        };
        let stream = stream.context("the TLS handshake timed out")?;
        if let Some(clients) = &self.clients {
            match &stream {
                Ok(stream) if stream.is_some() => clients.accepted(),
                Ok(_) => {}
                Err(error) => {
                    clients.refused(error, peer).inspect(|refusal| self.metrics.refused_client(refusal.label()));
                }
            }
        }
        let Some(stream) = stream? else { return Ok(End::Plain) };

        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        self.metrics.connected(if is_http2 { Protocol::Http2 } else { Protocol::Http1 });
        let place = Arc::new(place);
        let service = {
            let (app, leaving, place) = (Arc::clone(&self.app), self.leaving.clone(), Arc::clone(&place));
            service_fn(move |request: Request<Incoming>| {
                let (app, leaving, busy) = (Arc::clone(&app), leaving.clone(), place.begin());
                async move {
                    let mut response = app.answer(request).await;
                    if leaving.is_cancelled() && !is_http2 {
                        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                    drop(busy);
                    Ok::<_, Infallible>(response)
                }
            })
        };
        let io = TokioIo::new(stream);
        if is_http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT);
            let leaving = (!self.leaving.is_cancelled()).then(|| self.leaving.clone());
            follow(builder.serve_connection(io, service), &place, leaving, token).await
        } else {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(BUFFER);
            follow(builder.serve_connection(io, service), &place, None, token).await
        }
    }
}

/// `None` for a client that does not speak TLS: it is told so.
async fn handshake(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
) -> anyhow::Result<Option<tokio_rustls::server::TlsStream<TcpStream>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first != [TLS] {
        // What is not read makes the kernel reset the connection, and our words are lost.
        let mut rest = vec![0; 4096];
        let _ = stream.read(&mut rest).await?;
        stream.write_all(NOT_PLAIN.as_bytes()).await?;
        stream.shutdown().await?;
        return Ok(None);
    }
    TlsAcceptor::from(config).accept(stream).await.map(Some).context("TLS handshake")
}

/// Serves a connection to its end. It is asked to end after the requests that have begun when `token` or, if there is one,
/// `leaving` is cancelled, or when its place is needed.
async fn follow<C>(
    connection: C,
    place: &Place,
    leaving: Option<CancellationToken>,
    token: CancellationToken,
) -> anyhow::Result<End>
where
    C: GracefulConnection,
    C::Error: Into<anyhow::Error>,
{
    let mut connection = pin!(connection);
    let first = async {
        tokio::time::sleep(HEADER_TIMEOUT).await;
        if place.has_served() {
            std::future::pending::<()>().await;
        }
    };
    let left = async {
        match leaving {
            Some(leaving) => leaving.cancelled().await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        result = connection.as_mut() => return result.map(|()| End::Done).map_err(Into::into),
        () = token.cancelled() => End::Done,
        () = left => End::Done,
        () = place.has_to_go() => End::Crowded,
        () = first => End::Silent,
    };
    connection.as_mut().graceful_shutdown();
    match timeout(DRAIN, connection).await {
        Ok(result) => result.map(|()| end).map_err(Into::into),
        Err(_) => Ok(end),
    }
}
