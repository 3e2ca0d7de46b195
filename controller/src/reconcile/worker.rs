//! The loop that takes ManagedResources from the queue.

use std::{sync::Arc, time::Duration};

use holdfast_runtime::call::CallError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Reconciler;
use crate::{
    leader_election::Leadership,
    metrics::{Metrics, PassEnd, PassLabels},
    queue::{Next, Queue},
    target::write_gate::WriteGate,
};
use holdfast_core::key::NamespacedName;

/// While the API server is out of reach. It does not grow: drift of the meantime is to be repaired soon after.
const AFTER_OUTAGE: Duration = Duration::from_secs(2);

/// One of those who reconcile, side by side.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) reconciler: Arc<Reconciler>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) leadership: Leadership,
    pub(crate) gate: WriteGate,
    pub(crate) metrics: Metrics,
}

impl Worker {
    /// As leader, takes items from the queue until the token is cancelled; finishes the one in hand.
    ///
    /// # Errors
    /// None; as tasks are supervised.
    pub(crate) async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        if self.leadership.wait().await.is_err() {
            // It is over before it began; the election says why.
            token.cancelled().await;
        }
        while let Some(key) = token.run_until_cancelled(self.queue.next()).await {
            self.gate.wait_until_allowed().await;
            let started = Instant::now();
            let result = Box::pin(self.reconciler.reconcile(&key)).await;
            let (result, next) = self.next(&key, result).await;
            let label = PassLabels { result };
            self.metrics.pass_seconds.get_or_create(&label).observe(started.elapsed().as_secs_f64());
            self.metrics.passes.get_or_create(&label).inc();
            self.queue.done(&key, next);
            self.reconciler.lift_prune_barrier();
        }
        Ok(())
    }

    /// How the pass ended, and when the ManagedResource is looked at again.
    async fn next(&self, key: &NamespacedName, result: Result<Next, CallError>) -> (PassEnd, Next) {
        match result {
            Ok(Next::Backoff) => (PassEnd::Retry, Next::Backoff),
            Ok(next) => (PassEnd::Done, next),
            Err(error) if error.is_conflict() => (PassEnd::Retry, self.reconciler.refresh(key).await),
            Err(error) if error.is_transient() => {
                tracing::warn!(managed_resource = %key, %error, "the API server does not answer; retrying");
                (PassEnd::Error, Next::After(AFTER_OUTAGE))
            }
            Err(error) => {
                tracing::warn!(managed_resource = %key, %error, "reconciliation failed; retrying");
                self.reconciler.give_up_plan(key);
                (PassEnd::Error, Next::Backoff)
            }
        }
    }
}
