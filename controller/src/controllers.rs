//! The controllers of this process: each can be switched off, and all run on the same connections and the same leadership.
//!
//! A controller is made before the API servers are asked for anything, so that its metrics and latches of readiness are there
//! when probes are first served. It starts its tasks when they have answered.

mod managed_resources;
mod shared;

use std::sync::Arc;

use holdfast_core::digest::Key;
use holdfast_runtime::{readiness::Readiness, supervise::Supervisor};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Args, ControllerArg},
    leader_election::Leadership,
    setup::clusters::ClusterClients,
    target::rate_limit::RateLimit,
    watch::watch_status::FailingWatches,
};

pub(crate) use shared::run;

/// What all controllers have in common.
pub(crate) struct Shared {
    /// Settings; `cluster_id` is the one that the source was asked for.
    pub args: Args,
    /// The cluster of ManagedResources, Secrets and Events.
    pub source: ClusterClients,
    /// The cluster of the objects; the same if they are one.
    pub target: ClusterClients,
    /// Whether this process may write.
    pub leadership: Leadership,
    /// When requests to both clusters may be sent.
    pub rate_limit: Arc<RateLimit>,
    /// Key of the digests in inventories.
    pub digest_key: Key,
    /// What has to be true before this process is ready.
    pub readiness: Readiness,
    /// Watches that fail, of both clusters.
    pub failing: Arc<FailingWatches>,
    /// Cancelled when the process ends.
    pub token: CancellationToken,
}

/// Where a controller says what it measures, and what it waits for.
pub(crate) struct Registration<'a> {
    /// Settings.
    pub args: &'a Args,
    /// Metrics, before they are first served.
    pub registry: &'a mut Registry,
    /// Latches, before they are first asked for.
    pub readiness: &'a Readiness,
}

/// One of the controllers of this process.
pub(crate) trait Controller {
    /// Starts its tasks.
    fn spawn(self: Box<Self>, shared: &Shared, supervisor: &mut Supervisor);
}

/// Makes a controller, without tasks.
fn new(controller: ControllerArg, registration: &mut Registration<'_>) -> Box<dyn Controller> {
    match controller {
        ControllerArg::ManagedResource => Box::new(managed_resources::ManagedResources::new(registration)),
    }
}
