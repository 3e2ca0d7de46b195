//! What all watches of the target need.

use std::sync::Arc;

use holdfast_runtime::traffic::Traffic;
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::watch_status::FailingWatches;
use crate::{queue::Queue, state::ClusterState};

/// The target, and where its news goes.
#[derive(Clone)]
pub struct WatchContext {
    /// Sends the requests of watches.
    pub client: Client,
    /// Traffic of that client.
    pub traffic: Traffic,
    /// Takes in what watches say.
    pub state: Arc<ClusterState>,
    /// Woken by news.
    pub queue: Arc<Queue>,
    /// Watches that fail, of both clusters.
    pub failing: Arc<FailingWatches>,
    /// Ends the watches.
    pub token: CancellationToken,
}
