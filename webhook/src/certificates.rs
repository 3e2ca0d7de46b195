//! Our certificates: one CA and one server certificate, shared by all replicas through a Secret (design §8).
//!
//! Whoever starts first makes them; whoever finds them unusable, or near their end, makes new ones, guarded by the
//! Secret's resourceVersion, so that all replicas end up with the same. A change of the Secret is served at once, without
//! a restart.

mod inspect;
mod issue;
mod store;

use std::sync::Arc;
use std::time::Duration;

use holdfast_runtime::readiness::Latch;
use holdfast_runtime::reminder::Reminder;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::changes::Changes;
use crate::metrics::Metrics;

pub use inspect::{Finding, Loaded, Unusable, inspect};
pub use issue::{IssueError, Issued, Lifetimes, issue, renew};
pub use store::{Store, StoreError};

/// How often the Secret is looked at without a sign of change.
const INTERVAL: Duration = Duration::from_secs(30);

/// The certificate in use; empty at first. Clones see the same one.
#[derive(Clone, Debug)]
pub struct Current(watch::Receiver<Option<Arc<Loaded>>>);

impl Current {
    /// Nothing yet, and the end that sets it.
    pub fn channel() -> (watch::Sender<Option<Arc<Loaded>>>, Self) {
        let (sender, receiver) = watch::channel(None);
        (sender, Self(receiver))
    }

    /// The certificate, if there is one.
    pub fn get(&self) -> Option<Arc<Loaded>> {
        self.0.borrow().clone()
    }

    /// Waits for another certificate than at the last call; for ever once the other end is gone.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The names under which the API server calls a Service.
pub fn service_names(service: &str, namespace: &str) -> Vec<String> {
    ["svc", "svc.cluster.local"]
        .into_iter()
        .map(|suffix| format!("{service}.{namespace}.{suffix}"))
        .chain([format!("{service}.{namespace}")])
        .collect()
}

/// Keeps the Secret usable and `sender` equal to it until the token is cancelled. Trouble is logged and waited out; what
/// was loaded stays in use.
pub async fn keep(
    store: Store,
    client: Client,
    sender: watch::Sender<Option<Arc<Loaded>>>,
    metrics: Metrics,
    latch: Latch,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let metadata = Api::namespaced(client, &store.secret().namespace);
    let mut changes = Changes::of::<Secret>(metadata, &store.secret().name, INTERVAL);
    let mut reminder = Reminder::default();
    loop {
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = changes.next() => {}
        }
        match store.ensure(jiff::Timestamp::now()).await {
            Ok(loaded) => {
                reminder.clear();
                metrics.certificate_expiry.set(loaded.expires.as_second());
                latch.set(true);
                sender.send_if_modified(|current| {
                    let is_new = current.as_ref().is_none_or(|current| current.fingerprint != loaded.fingerprint);
                    if is_new {
                        tracing::info!(expires = %loaded.expires, "serving with the certificate in Secret {}", store.secret());
                        *current = Some(Arc::new(loaded));
                    }
                    is_new
                });
            }
            Err(error) => reminder.warn(&error.to_string()),
        }
    }
}
