//! Judging what is in the Secret, as a client would: chain, names, dates, keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring::default_provider;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::store::{CA, CA_KEY, LEAF, LEAF_KEY};

/// Content of the Secret.
pub type Data = BTreeMap<String, Vec<u8>>;

/// A usable certificate.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// To serve with.
    pub config: Arc<ServerConfig>,
    /// What clients must trust, in PEM.
    pub bundle: Vec<u8>,
    /// End of validity.
    pub expires: Timestamp,
    /// The certificates in PEM: equal when nothing changed. (No key; it changes with its certificate.)
    pub fingerprint: (Vec<u8>, Vec<u8>),
}

/// What is to be done.
#[derive(Debug)]
pub enum Finding {
    /// Serve with it.
    Good(Loaded),
    /// The CA is fine, the server certificate is not: make another one.
    Renew {
        /// Why.
        why: Unusable,
        /// The CA in PEM.
        authority: String,
        /// Its key in PEM.
        authority_key: String,
    },
    /// Make everything anew.
    Replace(Unusable),
}

/// Why certificates are of no use. Never quotes a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A key of the Secret's data is missing or not in PEM.
    #[error("{0} is missing or is not in PEM")]
    Unreadable(&'static str),
    /// The key is not the certificate's.
    #[error("{0} does not belong to its certificate")]
    WrongKey(&'static str),
    /// A client would refuse it.
    #[error("clients would refuse the certificate for {name}: {error}")]
    Untrusted {
        /// The name that was asked for.
        name: String,
        /// What rustls says.
        error: String,
    },
    /// More than two thirds of its life are over.
    #[error("{0} is in the last third of its life")]
    Aging(&'static str),
}

/// Judges the content of the Secret at the time `now`, for a server that is called by these names.
pub fn inspect(data: &Data, names: &[String], now: Timestamp) -> Finding {
    let (bundle, authorities) = match authorities(data, now) {
        Ok(found) => found,
        Err(why) => return Finding::Replace(why),
    };
    match leaf(data, &authorities, names, now) {
        Ok((config, expires)) => {
            let leaf = data.get(LEAF).cloned().unwrap_or_default();
            Finding::Good(Loaded { config: Arc::new(config), fingerprint: (bundle.clone(), leaf), bundle, expires })
        }
        Err(why) => match authority_key(data, &authorities) {
            Ok(authority_key) => {
                Finding::Renew { why, authority: String::from_utf8_lossy(&bundle).into_owned(), authority_key }
            }
            // Without its key the CA is no use any more.
            Err(_) => Finding::Replace(why),
        },
    }
}

type Authorities = Vec<CertificateDer<'static>>;

fn authorities(data: &Data, now: Timestamp) -> Result<(Vec<u8>, Authorities), Unusable> {
    let bundle = data.get(CA).ok_or(Unusable::Unreadable(CA))?;
    let certificates = certificates(bundle).ok_or(Unusable::Unreadable(CA))?;
    for certificate in &certificates {
        let (begin, end) = validity(certificate).ok_or(Unusable::Unreadable(CA))?;
        if is_aging(begin, end, now) {
            return Err(Unusable::Aging(CA));
        }
    }
    Ok((bundle.clone(), certificates))
}

fn authority_key(data: &Data, authorities: &Authorities) -> Result<String, Unusable> {
    let pem = data.get(CA_KEY).and_then(|pem| std::str::from_utf8(pem).ok()).ok_or(Unusable::Unreadable(CA_KEY))?;
    let key = KeyPair::from_pem(pem).map_err(|_| Unusable::Unreadable(CA_KEY))?;
    let is_its_key = |certificate: &CertificateDer<'_>| {
        X509Certificate::from_der(certificate)
            .is_ok_and(|(_, certificate)| certificate.public_key().raw == key.subject_public_key_info())
    };
    if authorities.iter().any(is_its_key) { Ok(pem.to_owned()) } else { Err(Unusable::WrongKey(CA_KEY)) }
}

fn leaf(
    data: &Data,
    authorities: &Authorities,
    names: &[String],
    now: Timestamp,
) -> Result<(ServerConfig, Timestamp), Unusable> {
    let chain = data.get(LEAF).and_then(|pem| certificates(pem)).ok_or(Unusable::Unreadable(LEAF))?;
    let key = data
        .get(LEAF_KEY)
        .and_then(|pem| PrivateKeyDer::from_pem_slice(pem).ok())
        .ok_or(Unusable::Unreadable(LEAF_KEY))?;
    let (leaf, intermediates) = chain.split_first().ok_or(Unusable::Unreadable(LEAF))?;
    trusted(leaf, intermediates, authorities, names, now)?;
    let (begin, end) = validity(leaf).ok_or(Unusable::Unreadable(LEAF))?;
    if is_aging(begin, end, now) {
        return Err(Unusable::Aging(LEAF));
    }
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain.clone(), key))
        .map_err(|_| Unusable::WrongKey(LEAF_KEY))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, end))
}

fn trusted(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    authorities: &Authorities,
    names: &[String],
    now: Timestamp,
) -> Result<(), Unusable> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|_| Unusable::Unreadable(CA))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .build()
        .map_err(|_| Unusable::Unreadable(CA))?;
    let now =
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()));
    for name in names {
        let untrusted = |error: String| Unusable::Untrusted { name: name.clone(), error };
        let server = ServerName::try_from(name.as_str()).map_err(|error| untrusted(error.to_string()))?;
        verifier
            .verify_server_cert(leaf, intermediates, &server, &[], now)
            .map_err(|error| untrusted(error.to_string()))?;
    }
    Ok(())
}

/// At least one.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

fn validity(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    let at = |time: &x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
    Some((at(&validity.not_before)?, at(&validity.not_after)?))
}

fn is_aging(begin: Timestamp, end: Timestamp, now: Timestamp) -> bool {
    let (life, left) = (end.duration_since(begin), end.duration_since(now));
    left < life / 3
}
