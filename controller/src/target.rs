//! The target cluster: requests about objects ([`client`], with [`payload`] and [`error`]), what is served ([`discovery`]), and when
//! requests are sent.
//!
//! Every request passes the [`write_gate`], which asks the leader election and the [`rate_limit`]. Requests about one object take
//! one of the [`slots`]; [`requests`] does not wait for a resource that does not answer ([`health`]), and [`recovery`] queues the
//! ManagedResources again when it does. Nothing is decided here.

pub(crate) mod client;
pub(crate) mod discovery;
pub(crate) mod error;
mod health;
pub(crate) mod partial_object;
pub(crate) mod payload;
pub(crate) mod rate_limit;
mod recovery;
pub(crate) mod requests;
mod slots;
pub(crate) mod write_gate;

use std::sync::Arc;

use holdfast_runtime::traffic::Traffic;

use crate::queue::Queue;
use client::TargetClient;
use discovery::Discoverer;
use requests::Requests;

/// The target cluster, as passes use it.
pub(crate) struct Target {
    pub(crate) client: TargetClient,
    pub(crate) discovery: Discoverer,
    pub(crate) requests: Requests,
    /// Requests of one ManagedResource at a time.
    pub(crate) width: usize,
}

impl Target {
    /// `traffic` is what is sent to the target; `width` requests are sent at a time, in all and for one ManagedResource.
    pub(crate) fn new(client: TargetClient, traffic: Traffic, width: usize, queue: Arc<Queue>) -> Self {
        let discovery = Discoverer::new(client.plain().clone());
        let requests = Requests::new(client.gate().clone(), traffic, width, queue);
        Self { client, discovery, requests, width }
    }

    /// Asks what is served if requests found a kind that is not.
    pub(crate) async fn refresh_if(&self, is_stale: bool) {
        if is_stale && let Err(error) = self.discovery.refresh().await {
            tracing::warn!(%error, "cannot tell what is served");
        }
    }
}
