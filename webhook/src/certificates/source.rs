//! Where the certificate comes from: the tasks that keep the issued certificate equal to the Secret or the directory.

use std::sync::Arc;

use holdfast_runtime::api::Api;
use holdfast_runtime::reminder::Reminder;
use holdfast_runtime::traffic::Traffic;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::current::{CertificateSender, CertificateWatch};
use super::directory::Directory;
use super::inspect::ServingCertificate;
use super::object_changes::ObjectChanges;
use super::secret_store::SecretStore;
use crate::metrics::Metrics;

/// The issued certificate, and how failures are reported.
pub struct Issuing {
    /// Sets the issued certificate.
    pub issued: CertificateSender,
    /// Metrics.
    pub metrics: Metrics,
}

impl Issuing {
    /// Keeps the Secret usable, and the issued certificate equal to it, until the token is cancelled. `active` is the served
    /// certificate. Failures are logged and counted; the last good certificate stays.
    pub async fn from_secret(
        self,
        store: Arc<SecretStore>,
        client: Client,
        active: CertificateWatch,
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
            let found = store.ensure(active.get().as_deref()).await;
            self.set(found.map_err(|error| error.to_string()), &mut reminder);
        }
    }

    /// Keeps the issued certificate equal to the last good content of a directory, until the token is cancelled. Unusable content
    /// is logged and counted, and changes nothing.
    pub async fn from_directory(
        self,
        directory: Directory,
        traffic: Traffic,
        token: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut reminder = Reminder::default();
        loop {
            let found = directory.load(traffic.server_time());
            self.set(found.map_err(|error| error.to_string()), &mut reminder);
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = tokio::time::sleep(directory.period()) => {}
            }
        }
    }

    fn set(&self, found: Result<ServingCertificate, String>, reminder: &mut Reminder) {
        match found {
            Ok(certificate) => {
                reminder.clear();
                self.issued.send_if_modified(|current| {
                    let is_new = current.as_ref().is_none_or(|current| current.fingerprint != certificate.fingerprint);
                    if is_new {
                        tracing::info!(expires = %certificate.expires, "there is a new certificate");
                        *current = Some(Arc::new(certificate));
                    }
                    is_new
                });
            }
            Err(error) => {
                self.metrics.certificate_failures.inc();
                let remains =
                    if self.issued.borrow().is_some() { "; the last good certificate stays in use" } else { "" };
                reminder.warn(&format!("{error}{remains}"));
            }
        }
    }
}
