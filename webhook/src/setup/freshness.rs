//! Reports how long the watch of ManagedResources has been silent.
//!
//! A stale index keeps deciding, and its replica stays ready: a stale index is better than none, and the cause most likely
//! affects the other replicas, too. So staleness is only reported.

use std::time::Duration;

use holdfast_runtime::readiness::Note;
use holdfast_runtime::traffic::LastActivity;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// How often to look.
const INTERVAL: Duration = Duration::from_secs(1);

/// A watch, and where to report.
#[derive(Clone, Debug)]
pub struct Freshness {
    /// The watch.
    pub last_activity: LastActivity,
    /// How long it may be silent.
    pub limit: Duration,
    /// A line of `/readyz`.
    pub note: Note,
}

impl Freshness {
    /// Reports until the token is cancelled. Before the first watch there is nothing to report: the webhook is not ready then.
    pub async fn report(self, metrics: Metrics, token: CancellationToken) -> anyhow::Result<()> {
        let mut was_stale = false;
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let Some(idle) = self.last_activity.idle() else { continue };
            metrics.index_age.set(idle.as_secs_f64());
            let is_stale = idle > self.limit;
            self.note.set(is_stale.then(|| {
                let text = "stale: nothing was heard of ManagedResources for";
                format!("{text} {} s; what was known then decides", idle.as_secs())
            }));
            match (was_stale, is_stale) {
                (false, true) => tracing::warn!(
                    seconds = idle.as_secs(),
                    "the watch of ManagedResources is stale; deciding by the last known state"
                ),
                (true, false) => tracing::info!("the watch of ManagedResources works again"),
                _ => {}
            }
            was_stale = is_stale;
        }
    }
}
