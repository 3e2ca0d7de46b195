//! Logs clients that may not connect. An API server without the right certificate gets no answer at all, and by default its
//! edits pass. So this must be noticed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use holdfast_runtime::reminder::Reminder;
use rustls::CertificateError;

use crate::metrics::ClientRefusal;

/// Each reason is logged once in this time, with the address of one client: anyone who reaches the port can cause it.
const PERIOD: Duration = Duration::from_secs(300);

/// Why a handshake failed, if the client's certificate is the cause. `None` for other failures, and for clients that refuse our
/// certificate.
pub(super) fn refusal(error: &anyhow::Error) -> Option<ClientRefusal> {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()?.get_ref());
    match causes.find_map(|cause| cause.downcast_ref::<rustls::Error>())? {
        rustls::Error::NoCertificatesPresented => Some(ClientRefusal::NoCertificate),
        rustls::Error::InvalidCertificate(error) => Some(match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => ClientRefusal::OtherAuthority,
            CertificateError::ApplicationVerificationFailure => ClientRefusal::OtherName,
            _ => ClientRefusal::Unusable,
        }),
        _ => None,
    }
}

/// The reasons that were logged.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    reminders: Mutex<BTreeMap<ClientRefusal, Reminder>>,
    any_accepted: AtomicBool,
}

impl Refusals {
    /// A client may connect.
    pub(super) fn accepted(&self) {
        self.any_accepted.store(true, Ordering::Relaxed);
    }

    /// A client may not connect.
    pub(super) fn refused(&self, refusal: ClientRefusal, peer: SocketAddr, path: &Path) {
        let mut reminders = self.reminders.lock().unwrap_or_else(PoisonError::into_inner);
        let reminder = reminders.entry(refusal).or_insert_with(|| Reminder::every(PERIOD));
        if reminder.is_due(refusal.label()) {
            let who = if self.any_accepted.load(Ordering::Relaxed) {
                "other clients could, so this may have been a probe or a scanner"
            } else {
                "no client could connect so far"
            };
            tracing::warn!(%peer, reason = refusal.label(), "{}", remedy(refusal, who, path));
        }
    }
}

fn text(refusal: ClientRefusal, path: &Path) -> String {
    let path = path.display();
    match refusal {
        // A client in Go shows none if the server names other CAs.
        ClientRefusal::NoCertificate => format!("it shows no certificate, or has none of a CA in {path}"),
        ClientRefusal::OtherAuthority => format!("its certificate is of no CA in {path}"),
        ClientRefusal::OtherName => "its certificate has none of the names that --client-name wants".to_owned(),
        ClientRefusal::Unusable => "its certificate has expired, is not for clients, or cannot be read".to_owned(),
    }
}

fn remedy(refusal: ClientRefusal, who: &str, path: &Path) -> String {
    format!(
        "a client could not connect: {}; {who}. If it is the API server, no edit is reviewed, and the failure policies decide. \
         Give it a client certificate then, in the kubeconfig for webhooks that the file of its flag \
         --admission-control-config-file names, or unset webhook.clientCertificates (--client-ca-file)",
        text(refusal, path)
    )
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use rustls::{AlertDescription, CertificateError};

    use super::*;

    #[test]
    fn reasons_are_distinguished() {
        let invalid = rustls::Error::InvalidCertificate;
        for (error, expected) in [
            (rustls::Error::NoCertificatesPresented, Some("no-certificate")),
            (invalid(CertificateError::UnknownIssuer), Some("other-authority")),
            (invalid(CertificateError::BadSignature), Some("other-authority")),
            (invalid(CertificateError::ApplicationVerificationFailure), Some("other-name")),
            (invalid(CertificateError::Expired), Some("unusable")),
            (rustls::Error::AlertReceived(AlertDescription::UnknownCA), None),
            (rustls::Error::HandshakeNotComplete, None),
        ] {
            let shown = error.to_string();
            let failed: Result<(), _> = Err(std::io::Error::new(std::io::ErrorKind::InvalidData, error));
            let error = failed.context("TLS handshake").unwrap_err();
            assert_eq!(refusal(&error).map(ClientRefusal::label), expected, "{shown}");
        }
        assert_eq!(refusal(&anyhow::anyhow!("the TLS handshake timed out")), None);
    }

    #[test]
    fn each_text_names_the_remedy() {
        for refusal in [
            ClientRefusal::NoCertificate,
            ClientRefusal::OtherAuthority,
            ClientRefusal::OtherName,
            ClientRefusal::Unusable,
        ] {
            let text = remedy(refusal, "no client could connect so far", Path::new("/ca.crt"));
            assert!(text.contains("--admission-control-config-file") && text.contains("--client-ca-file"), "{text}");
        }
    }
}
