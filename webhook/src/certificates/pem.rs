//! Certificates in PEM, and their fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Characters of a line.
const LINE: usize = 64;

/// The certificates in order, each once; `None` if there is none or the text is no PEM.
pub(crate) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    let mut certificates: Vec<CertificateDer<'static>> = Vec::new();
    for certificate in all {
        if !certificates.contains(&certificate) {
            certificates.push(certificate);
        }
    }
    (!certificates.is_empty()).then_some(certificates)
}

pub(crate) fn encode(certificate: &CertificateDer<'_>) -> String {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (position, character) in STANDARD.encode(certificate).chars().enumerate() {
        if position > 0 && position % LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

/// Begin and end of validity.
pub(crate) fn validity(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    let at = |time: &x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
    Some((at(&validity.not_before)?, at(&validity.not_after)?))
}

/// The end of validity of the first certificate.
pub(super) fn end_of(pem: &[u8]) -> Option<Timestamp> {
    Some(validity(certificates(pem)?.first()?)?.1)
}

/// Whether the certificate is for this public key.
pub(crate) fn is_key_of(public_key: &[u8], certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, certificate)| certificate.public_key().raw == public_key)
}

/// `first`, and those of `additions` that are not in it.
pub(crate) fn joined(first: &str, additions: &[CertificateDer<'_>]) -> String {
    let mut pem = first.trim_end().to_owned();
    pem.push('\n');
    let mut included = certificates(first.as_bytes()).unwrap_or_default();
    for addition in additions {
        if !included.contains(addition) {
            pem.push_str(&encode(addition));
            included.push(addition.clone().into_owned());
        }
    }
    pem
}
