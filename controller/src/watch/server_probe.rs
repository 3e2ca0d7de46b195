//! Whether the API servers answer at all: said by readiness, so that whoever runs us looks.

use std::time::Duration;

use holdfast_runtime::{
    call::call,
    readiness::{Latch, Note},
    traffic::Traffic,
};
use kube::Client;
use tokio_util::sync::CancellationToken;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// Whoever has only asked for what is sick may be wrong about the server: so it is asked for something else, which needs its
/// storage and nobody beside. A refusal will do. Also when a watch fails and nothing else is asked.
const QUESTION: &str = "/api/v1/namespaces?limit=1";

/// An API server, and who is told.
pub struct ServerProbe {
    /// `source` or `target`.
    pub cluster: &'static str,
    /// Its client.
    pub client: Client,
    /// What is sent to it.
    pub traffic: Traffic,
    /// Set while it answers.
    pub latch: Latch,
    /// Says why not.
    pub note: Note,
    /// How long it may go without a good answer.
    pub limit: Duration,
}

impl ServerProbe {
    /// Tells of it until the token is cancelled.
    ///
    /// # Errors
    /// Never.
    pub async fn keep(self, token: CancellationToken) -> anyhow::Result<()> {
        while token.run_until_cancelled(tokio::time::sleep(INTERVAL.min(self.limit / 4))).await.is_some() {
            let is_doubted = self.traffic.take_doubt();
            if is_doubted || self.traffic.missing().is_some_and(|missing| missing >= self.limit / 2) {
                token.run_until_cancelled(self.ask()).await;
            }
            self.report();
        }
        Ok(())
    }

    fn report(&self) {
        let missing = self.traffic.missing().filter(|missing| *missing >= self.limit);
        let was_well = self.latch.is_set();
        self.latch.set(missing.is_none());
        match missing {
            Some(missing) => {
                let text = format!(
                    "no good answer came from the API server of the {} cluster for {} s",
                    self.cluster,
                    missing.as_secs()
                );
                if was_well {
                    tracing::warn!("not ready: {text}");
                }
                self.note.set(Some(text));
            }
            None if !was_well => {
                tracing::info!(cluster = self.cluster, "the API server answers again");
                self.note.set(None);
            }
            None => {}
        }
    }

    async fn ask(&self) {
        let Ok(request) = http::Request::get(QUESTION).body(Vec::new()) else { return };
        let limit = self.limit.min(Duration::from_secs(5));
        // What came of it is seen below the client.
        if let Err(error) = call(limit, "ask whether the API server answers", self.client.request_text(request)).await {
            tracing::debug!(%error, "no good answer");
        }
    }
}
