//! Checks certificates as a client would: chain, names, dates, keys.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::data::{CA, CA_KEY, Data, LEAF, LEAF_KEY};
use super::pem::{self, certificates, is_key_of, validity};
use super::trust::{Chain, Distrust};

/// A usable certificate.
#[derive(Clone, Debug)]
pub struct ServingCertificate {
    /// To serve with.
    pub config: Arc<ServerConfig>,
    /// The CAs that clients must trust, in PEM.
    pub bundle: Vec<u8>,
    /// End of validity.
    pub expires: Timestamp,
    /// End of validity of the CA that signed it.
    pub authority_expires: Timestamp,
    /// Bundle and server certificate in PEM: equal if nothing changed. The key changes with its certificate.
    pub fingerprint: (Vec<u8>, Vec<u8>),
    begins: Timestamp,
    authority_begins: Timestamp,
    chain: Chain,
}

impl ServingCertificate {
    /// Whether a client that trusts this bundle (PEM) accepts the certificate now.
    pub fn is_trusted_through(&self, bundle: &[u8], now: Timestamp) -> bool {
        certificates(bundle).is_some_and(|authorities| self.chain.check(&authorities, now).is_ok())
    }

    /// The time from its begin to its end.
    pub fn lifetime(&self) -> SignedDuration {
        self.expires.duration_since(self.begins)
    }

    /// Those of the CAs in `bundles` (PEM) that make clients accept the certificate now.
    pub fn authorities_among(&self, bundles: &[&[u8]], now: Timestamp) -> Vec<CertificateDer<'static>> {
        let all = bundles.iter().filter_map(|bundle| certificates(bundle)).flatten();
        all.filter(|authority| self.chain.check(std::slice::from_ref(authority), now).is_ok()).collect()
    }
}

/// What to do with the content of the Secret.
#[derive(Debug)]
pub enum Finding {
    /// Serve with it.
    Good(ServingCertificate),
    /// The CA is fine, the server certificate is not: make another one.
    Renew {
        /// Why.
        why: Unusable,
        /// The CA in PEM.
        authority: String,
        /// Its key in PEM.
        authority_key: String,
    },
    /// Make a new CA, too.
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
    #[error("clients would refuse the certificate for {}: {}", .0.name, .0.error)]
    Untrusted(Distrust),
    /// Two thirds of its lifetime are over.
    #[error("{0} is in the last third of its life")]
    Aging(&'static str),
}

/// Checks the content of the Secret at the time `now`, for a server with these names.
pub fn inspect(data: &Data, names: &[String], now: Timestamp) -> Finding {
    let why = match read(data, names, now) {
        Ok(loaded) if is_aging(loaded.authority_begins, loaded.authority_expires, now) => {
            return Finding::Replace(Unusable::Aging(CA));
        }
        Ok(loaded) if is_aging(loaded.begins, loaded.expires, now) => Unusable::Aging(LEAF),
        Ok(loaded) => return Finding::Good(loaded),
        Err(why) => why,
    };
    // A CA without its key is useless.
    match signer(data, now) {
        Some((authority, authority_key)) => Finding::Renew { why, authority, authority_key },
        None => Finding::Replace(why),
    }
}

/// Reads certificates that another program renews: a certificate that clients accept is good, at any age.
///
/// # Errors
/// Clients would not accept it.
pub fn read(data: &Data, names: &[String], now: Timestamp) -> Result<ServingCertificate, Unusable> {
    let bundle = data.get(CA).ok_or(Unusable::Unreadable(CA))?;
    let authorities = certificates(bundle).ok_or(Unusable::Unreadable(CA))?;
    let leaf = data.get(LEAF).ok_or(Unusable::Unreadable(LEAF))?;
    let certificates = certificates(leaf).ok_or(Unusable::Unreadable(LEAF))?;
    let key = data.get(LEAF_KEY).and_then(|pem| PrivateKeyDer::from_pem_slice(pem).ok());
    let key = key.ok_or(Unusable::Unreadable(LEAF_KEY))?;
    let (begins, expires) = certificates.first().and_then(validity).ok_or(Unusable::Unreadable(LEAF))?;
    let chain = Chain::new(certificates.clone(), names.to_vec());
    let authority = chain.check(&authorities, now).map_err(Unusable::Untrusted)?;
    let (authority_begins, authority_expires) = validity(&authority).ok_or(Unusable::Unreadable(CA))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|_| Unusable::WrongKey(LEAF_KEY))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let fingerprint = (bundle.clone(), leaf.clone());
    let (config, bundle) = (Arc::new(config), bundle.clone());
    Ok(ServingCertificate { config, bundle, expires, authority_expires, fingerprint, begins, authority_begins, chain })
}

/// The CA that new certificates can be signed with, and its key.
fn signer(data: &Data, now: Timestamp) -> Option<(String, String)> {
    let pem = std::str::from_utf8(data.get(CA_KEY)?).ok()?;
    let key = KeyPair::from_pem(pem).ok()?;
    let authorities = certificates(data.get(CA)?)?;
    let is_its_own = |authority: &&CertificateDer<'_>| is_key_of(&key.subject_public_key_info(), authority);
    let authority = authorities.iter().find(is_its_own)?;
    let (begin, end) = validity(authority)?;
    let is_usable = begin <= now && !is_aging(begin, end, now);
    is_usable.then(|| (pem::encode(authority), pem.to_owned()))
}

fn is_aging(begin: Timestamp, end: Timestamp, now: Timestamp) -> bool {
    let (lifetime, remaining) = (end.duration_since(begin), end.duration_since(now));
    remaining < lifetime / 3
}
