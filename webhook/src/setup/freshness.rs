//! Whether what is known of ManagedResources is up to date: how long ago the watch was last heard of.
//!
//! A stale index goes on deciding, and a replica with one stays ready. It knows more than no replica at all; whatever made it
//! stale most likely concerns the others, too; and while the API server is away nobody asks anyway. So this is only told.

use std::time::Duration;

use holdfast_runtime::readiness::Remark;
use holdfast_runtime::traffic::Heard;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is looked at, and who is told.
#[derive(Clone, Debug)]
pub struct Freshness {
    /// The watch.
    pub heard: Heard,
    /// How long it may be silent.
    pub limit: Duration,
    /// What `/readyz` says beside.
    pub remark: Remark,
}

impl Freshness {
    /// Tells of it until the token is cancelled. Before the first watch there is nothing to tell: then we are not ready.
    pub async fn report(self, metrics: Metrics, token: CancellationToken) -> anyhow::Result<()> {
        let mut was_stale = false;
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let Some(silence) = self.heard.silence() else { continue };
            metrics.index_age.set(silence.as_secs_f64());
            let is_stale = silence > self.limit;
            self.remark.set(is_stale.then(|| {
                let text = "stale: nothing was heard of ManagedResources for";
                format!("{text} {} s; what was known then decides", silence.as_secs())
            }));
            match (was_stale, is_stale) {
                (false, true) => tracing::warn!(
                    seconds = silence.as_secs(),
                    "nothing was heard of ManagedResources; what was known then goes on deciding"
                ),
                (true, false) => tracing::info!("ManagedResources are heard of again"),
                _ => {}
            }
            was_stale = is_stale;
        }
    }
}
