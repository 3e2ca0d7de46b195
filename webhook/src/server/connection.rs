//! One connection: the handshake, then its requests until one side ends it.

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
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::Server;
use super::connections::Slot;
use crate::metrics::{ConnectionEnd, Protocol};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to send a request's head. To hyper this is also how long an idle HTTP/1.1 connection stays
/// open, and it must exceed the 90 s after which the API server closes it: the webhook must not close it first.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest head of a request, and what is read at a time of its body, in bytes.
const BUFFER: usize = 64 << 10;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection, and the bytes that they may send ahead.
const STREAMS: u32 = 256;
const WINDOW: u32 = 256 << 10;
/// How long a connection may take to finish its requests; less than the supervisor grants at shutdown.
pub(super) const DRAIN: Duration = Duration::from_secs(4);
/// First byte of a TLS connection (the record type `handshake`).
const TLS: u8 = 0x16;
const NOT_TLS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\
                       Content-Length: 37\r\n\r\nthis port speaks HTTPS and not HTTP.\n";

/// A connection that was accepted.
pub(super) struct Connection {
    pub(super) server: Server,
    pub(super) peer: SocketAddr,
    pub(super) slot: Arc<Slot>,
    /// Ends the connection after the requests in flight.
    pub(super) token: CancellationToken,
}

impl Connection {
    /// Serves the connection to its end.
    pub(super) async fn serve(self, stream: TcpStream) -> anyhow::Result<ConnectionEnd> {
        stream.set_nodelay(true)?;
        let config = self.tls_config()?;
        let stream = tokio::select! {
            () = self.slot.evicted() => return Ok(ConnectionEnd::Evicted),
            stream = timeout(HANDSHAKE_TIMEOUT, handshake(stream, config)) => stream,
        };
        let stream = stream.context("the TLS handshake timed out")?;
        self.report_client(&stream);
        let Some(stream) = stream? else { return Ok(ConnectionEnd::Plain) };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.server.metrics.connected(Protocol::Http2);
            self.serve_http2(stream).await
        } else {
            self.server.metrics.connected(Protocol::Http1);
            self.serve_http1(stream).await
        }
    }

    fn tls_config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let certificate = self.server.certificate.get().context("there is no certificate yet")?;
        Ok(match &self.server.clients {
            Some(clients) => Arc::new(clients.require_certificates(&certificate.config)?),
            None => Arc::clone(&certificate.config),
        })
    }

    /// Logs and counts a client whose certificate was refused.
    fn report_client(&self, handshake: &anyhow::Result<Option<TlsStream<TcpStream>>>) {
        let Some(clients) = &self.server.clients else { return };
        match handshake {
            Ok(Some(_)) => clients.accepted(),
            Ok(None) => {}
            Err(error) => {
                if let Some(refusal) = clients.refused(error, self.peer) {
                    self.server.metrics.refused_client(refusal);
                }
            }
        }
    }

    async fn serve_http1(&self, stream: TlsStream<TcpStream>) -> anyhow::Result<ConnectionEnd> {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(BUFFER);
        let service = service_fn(|request: Request<Incoming>| async {
            let in_flight = self.slot.begin();
            let mut response = self.server.app.answer(request).await;
            if self.server.draining.is_cancelled() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            drop(in_flight);
            Ok::<_, Infallible>(response)
        });
        self.until_end(builder.serve_connection(TokioIo::new(stream), service), std::future::pending()).await
    }

    async fn serve_http2(&self, stream: TlsStream<TcpStream>) -> anyhow::Result<ConnectionEnd> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let (app, slot) = (Arc::clone(&self.server.app), Arc::clone(&self.slot));
        let service = service_fn(move |request: Request<Incoming>| {
            let (app, in_flight) = (Arc::clone(&app), slot.begin());
            async move {
                let response = app.answer(request).await;
                drop(in_flight);
                Ok::<_, Infallible>(response)
            }
        });
        // GOAWAY would end a connection that opens while the server drains before its first request.
        let draining = self.server.draining.clone();
        let is_late = draining.is_cancelled();
        let goaway = async move {
            if is_late {
                std::future::pending::<()>().await;
            }
            draining.cancelled().await;
        };
        self.until_end(builder.serve_connection(TokioIo::new(stream), service), goaway).await
    }

    /// Serves until the client ends the connection. Ends it after the requests in flight when `goaway` completes, when the server
    /// stops, when the slot is needed, or when no request ever comes.
    async fn until_end<C>(&self, connection: C, goaway: impl Future<Output = ()>) -> anyhow::Result<ConnectionEnd>
    where
        C: GracefulConnection,
        C::Error: Into<anyhow::Error>,
    {
        let mut connection = pin!(connection);
        let no_request = async {
            tokio::time::sleep(HEADER_TIMEOUT).await;
            if self.slot.has_served() {
                std::future::pending::<()>().await;
            }
        };
        let end = tokio::select! {
            result = connection.as_mut() => return result.map(|()| ConnectionEnd::Done).map_err(Into::into),
            () = self.token.cancelled() => ConnectionEnd::Done,
            () = goaway => ConnectionEnd::Done,
            () = self.slot.evicted() => ConnectionEnd::Evicted,
            () = no_request => ConnectionEnd::Silent,
        };
        connection.as_mut().graceful_shutdown();
        match timeout(DRAIN, connection).await {
            Ok(result) => result.map(|()| end).map_err(Into::into),
            Err(_) => Ok(end),
        }
    }
}

/// `None` for a client that does not speak TLS; it gets an answer in plain HTTP.
async fn handshake(mut stream: TcpStream, config: Arc<ServerConfig>) -> anyhow::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first != [TLS] {
        // The kernel would reset the connection because of unread bytes, and the answer would be lost.
        let mut rest = vec![0; 4096];
        let _ = stream.read(&mut rest).await?;
        stream.write_all(NOT_TLS.as_bytes()).await?;
        stream.shutdown().await?;
        return Ok(None);
    }
    TlsAcceptor::from(config).accept(stream).await.map(Some).context("TLS handshake")
}
