//! Whether clients accept a certificate.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring::default_provider;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::pem::validity;

/// A certificate with the intermediate ones, and the names of its server.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    names: Vec<String>,
}

/// A client would refuse it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust {
    /// The name that was asked for.
    pub name: String,
    /// What rustls says.
    pub error: String,
}

impl Chain {
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>, names: Vec<String>) -> Self {
        Self { certificates, names }
    }

    /// The first of `authorities` by which clients accept the certificate. A CA has to be valid itself: the API server, unlike
    /// rustls, checks that.
    pub(super) fn check(
        &self,
        authorities: &[CertificateDer<'static>],
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, Distrust> {
        let is_valid = |authority: &CertificateDer<'_>| validity(authority).is_some_and(|(a, b)| a <= now && now < b);
        let mut last =
            Distrust { name: self.names.first().cloned().unwrap_or_default(), error: "no CA is valid now".to_owned() };
        for authority in authorities.iter().filter(|authority| is_valid(authority)) {
            match self.names.iter().try_for_each(|name| self.verify(authority, name, now)) {
                Ok(()) => return Ok(authority.clone()),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    fn verify(&self, authority: &CertificateDer<'static>, name: &str, now: Timestamp) -> Result<(), Distrust> {
        let distrust = |error: &dyn std::fmt::Display| Distrust { name: name.to_owned(), error: error.to_string() };
        let (leaf, between) = self.certificates.split_first().ok_or_else(|| distrust(&"there is none"))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).map_err(|error| distrust(&error))?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
            .build()
            .map_err(|error| distrust(&error))?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()));
        let server = ServerName::try_from(name).map_err(|error| distrust(&error))?;
        verifier.verify_server_cert(leaf, between, &server, &[], now).map(drop).map_err(|error| distrust(&error))
    }
}
