//! The current certificate of one stage, such as the issued or the active one.

use std::sync::Arc;

use tokio::sync::watch;

use super::inspect::ServingCertificate;

/// Sets the current certificate.
pub type CertificateSender = watch::Sender<Option<Arc<ServingCertificate>>>;

/// The current certificate; none at first. Clones see the same one.
#[derive(Clone, Debug)]
pub struct CertificateWatch(watch::Receiver<Option<Arc<ServingCertificate>>>);

impl CertificateWatch {
    /// No certificate, and the end that sets it.
    pub fn channel() -> (CertificateSender, Self) {
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
}
