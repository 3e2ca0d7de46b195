//! Our certificates: one CA and one server certificate, shared by all replicas through a Secret (design §8); or what somebody
//! else puts into a directory.
//!
//! Whoever starts first makes them; whoever finds them unusable, or near their end, makes new ones, guarded by the
//! Secret's resourceVersion, so that all replicas end up with the same. What is found is registered with the API servers
//! ([`ca_bundle`]) and served without a restart as soon as they trust it ([`rollout`]).

pub mod ca_bundle;
mod data;
mod directory;
mod inspect;
mod issue;
mod object_changes;
pub(crate) mod pem;
pub mod rollout;
mod secret_store;
pub mod server_names;
mod trust;

use std::sync::Arc;

use holdfast_runtime::api::Api;
use holdfast_runtime::reminder::Reminder;
use holdfast_runtime::traffic::Traffic;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

use object_changes::ObjectChanges;

pub use data::Data;
pub use directory::{Directory, DirectoryError};
pub use inspect::{Finding, ServingCertificate, Unusable, inspect, read};
pub use issue::{IssueError, Issued, Lifetimes, issue, renew};
pub use secret_store::{Store, StoreError};
pub use trust::Distrust;

/// The certificate in use; empty at first. Clones see the same one.
#[derive(Clone, Debug)]
pub struct CertificateWatch(watch::Receiver<Option<Arc<ServingCertificate>>>);

impl CertificateWatch {
    /// Nothing yet, and the end that sets it.
    pub fn channel() -> (watch::Sender<Option<Arc<ServingCertificate>>>, Self) {
        let (sender, receiver) = watch::channel(None);
        (sender, Self(receiver))
    }

    /// The certificate, if there is one.
    pub fn get(&self) -> Option<Arc<ServingCertificate>> {
        self.0.borrow().clone()
    }

    /// Waits for another certificate than at the last call; for ever once the other end is gone.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// For whoever waits for more than one thing.
    pub fn receiver(&self) -> watch::Receiver<Option<Arc<ServingCertificate>>> {
        self.0.clone()
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

/// Keeps the Secret usable and `wanted` equal to it until the token is cancelled. Trouble is logged, counted and waited out;
/// what was loaded stays.
pub async fn keep(
    store: Arc<Store>,
    client: Client,
    wanted: watch::Sender<Option<Arc<ServingCertificate>>>,
    served: CertificateWatch,
    metrics: Metrics,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let metadata = Api::namespaced(client, &store.secret().namespace);
    let mut changes = ObjectChanges::of::<Secret>(&metadata, &store.secret().name, store.period());
    let mut reminder = Reminder::default();
    store.adopt().await;
    loop {
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = changes.next() => {}
        }
        let found = store.ensure(served.get().as_deref()).await;
        take(found.map_err(|error| error.to_string()), &wanted, &metrics, &mut reminder);
    }
}

/// Keeps `wanted` equal to the last good content of a directory until the token is cancelled. Content that is of no use is
/// logged and counted, and changes nothing.
pub async fn follow(
    directory: Directory,
    wanted: watch::Sender<Option<Arc<ServingCertificate>>>,
    traffic: Traffic,
    metrics: Metrics,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let mut reminder = Reminder::default();
    loop {
        let found = directory.load(traffic.server_time());
        take(found.map_err(|error| error.to_string()), &wanted, &metrics, &mut reminder);
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(directory.period()) => {}
        }
    }
}

fn take(
    found: Result<ServingCertificate, String>,
    wanted: &watch::Sender<Option<Arc<ServingCertificate>>>,
    metrics: &Metrics,
    reminder: &mut Reminder,
) {
    match found {
        Ok(loaded) => {
            reminder.clear();
            wanted.send_if_modified(|current| {
                let is_new = current.as_ref().is_none_or(|current| current.fingerprint != loaded.fingerprint);
                if is_new {
                    tracing::info!(expires = %loaded.expires, "there is a new certificate");
                    *current = Some(Arc::new(loaded));
                }
                is_new
            });
        }
        Err(error) => {
            metrics.certificate_failures.inc();
            let remains = if wanted.borrow().is_some() { "; what was there before stays in use" } else { "" };
            reminder.warn(&format!("{error}{remains}"));
        }
    }
}
