//! HTTPS, HTTP/1.1 and HTTP/2: the API server speaks the former to Services and the latter to localhost.
//!
//! A slow client costs one connection slot until another client needs it ([`connections`]). A body has to arrive within the
//! deadline of its review ([`app`]).
//!
//! A server that shuts down drains: it announces the end in its answers (`Connection: close`, GOAWAY) and keeps serving, so
//! that clients reach other replicas with their next request. The API server does not repeat a POST on a connection that the
//! webhook closes, and a failed call means that an edit passes, or under failure policy Fail that it fails.

pub mod app;
mod body;
pub mod client_auth;
mod connection;
mod connections;
mod response;
mod size;
mod undecided;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificates::CertificateWatch;
use crate::metrics::{ConnectionEnd, Metrics};

use app::App;
use client_auth::ClientAuth;
use connection::{Connection, DRAIN};
use connections::{Connections, Slot};

/// Connections at a time.
const CONNECTIONS: usize = 512;
/// The pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server of reviews. Clones are the same.
#[derive(Clone)]
pub struct Server {
    app: Arc<App>,
    certificate: CertificateWatch,
    clients: Option<ClientAuth>,
    metrics: Metrics,
    connections: Connections,
    draining: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// A server for all clients. It looks up the certificate for each connection, so a new one takes effect at once. It closes
    /// connections that come before there is a certificate.
    pub fn new(app: Arc<App>, certificate: CertificateWatch, metrics: Metrics) -> Self {
        Self {
            app,
            certificate,
            clients: None,
            metrics,
            connections: Connections::new(CONNECTIONS),
            draining: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Serves only these clients.
    #[must_use]
    pub fn for_clients(mut self, clients: Option<ClientAuth>) -> Self {
        self.clients = clients;
        self
    }

    /// Sends clients elsewhere with their next request once this is cancelled.
    #[must_use]
    pub fn draining(mut self, draining: CancellationToken) -> Self {
        self.draining = draining;
        self
    }

    /// Limits the connections, for tests.
    #[must_use]
    pub fn with_connections(mut self, limit: usize) -> Self {
        self.connections = Connections::new(limit);
        self
    }

    /// Serves reviews until the token is cancelled, then finishes those in flight.
    pub async fn serve(self, listener: TcpListener, token: CancellationToken) -> anyhow::Result<()> {
        loop {
            let accepted = tokio::select! {
                () = token.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or the client is gone already: later connections may fare better.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let slot = tokio::select! {
                () = token.cancelled() => break,
                slot = self.connections.acquire() => slot,
            };
            self.spawn(accepted, slot, token.clone());
        }
        drop(listener);
        self.tasks.close();
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.tasks.len(), "some connections did not finish in time");
        }
        Ok(())
    }

    fn spawn(&self, (stream, peer): (TcpStream, SocketAddr), slot: Slot, token: CancellationToken) {
        let connection = Connection { server: self.clone(), peer, slot: Arc::new(slot), token };
        self.tasks.spawn(async move {
            let metrics = connection.server.metrics.clone();
            match connection.serve(stream).await {
                Ok(end) => metrics.disconnected(end),
                Err(error) => {
                    metrics.disconnected(ConnectionEnd::Failed);
                    tracing::debug!(error = format!("{error:#}"), "a connection failed");
                }
            }
        });
    }
}
