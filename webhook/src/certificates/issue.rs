//! Makes certificates.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;

use super::pem::end_of;

/// Common name of each CA, so that its key is enough to issue a server certificate.
const CA_NAME: &str = "holdfast-webhook-ca";
/// How far certificates are dated back: clocks of API servers may be behind ours. Less for short-lived certificates.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// How long certificates are valid.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// The CA.
    pub authority: SignedDuration,
    /// The server certificate; it never outlives its CA.
    pub leaf: SignedDuration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { authority: SignedDuration::from_hours(10 * 365 * 24), leaf: SignedDuration::from_hours(365 * 24) }
    }
}

/// Certificates and keys in PEM.
#[derive(Clone)]
pub struct Issued {
    /// The CA.
    pub authority: String,
    /// Its key.
    pub authority_key: String,
    /// The server certificate.
    pub leaf: String,
    /// Its key.
    pub leaf_key: String,
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The names, the key of the CA, or the random number generator.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// The time does not fit a certificate.
    #[error("cannot make a certificate that begins at this time: {0}")]
    Time(#[from] time::error::ComponentRange),
}

/// A new CA and a server certificate for `names`.
pub fn issue(names: &[String], lifetimes: Lifetimes, now: Timestamp) -> Result<Issued, IssueError> {
    let key = KeyPair::generate()?;
    let mut params = authority()?;
    (params.not_before, params.not_after) = validity(lifetimes.authority, now, None)?;
    let certificate = params.self_signed(&key)?;
    renew(&certificate.pem(), &key.serialize_pem(), names, lifetimes, now)
}

/// A new server certificate from an existing CA of ours.
pub fn renew(
    authority: &str,
    authority_key: &str,
    names: &[String],
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<Issued, IssueError> {
    let issuer = Issuer::new(self::authority()?, KeyPair::from_pem(authority_key)?);
    let key = KeyPair::generate()?;
    // IP addresses become alternative names of their own kind.
    let mut params = CertificateParams::new(names.to_vec())?;
    (params.not_before, params.not_after) = validity(lifetimes.leaf, now, end_of(authority.as_bytes()))?;
    params.distinguished_name = name(names.first().map_or("holdfast-webhook", String::as_str));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&key, &issuer)?;
    Ok(Issued {
        authority: authority.to_owned(),
        authority_key: authority_key.to_owned(),
        leaf: leaf.pem(),
        leaf_key: key.serialize_pem(),
    })
}

fn authority() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name(CA_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

fn name(common: &str) -> DistinguishedName {
    // The limit of the field. Clients only look at the alternative names.
    const LONGEST: usize = 64;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common.chars().take(LONGEST).collect::<String>());
    name
}

fn validity(
    lifetime: SignedDuration,
    now: Timestamp,
    latest: Option<Timestamp>,
) -> Result<(OffsetDateTime, OffsetDateTime), time::error::ComponentRange> {
    let at = |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds);
    let skew = SKEW.min(lifetime / 12);
    let end = now.as_second().saturating_add(lifetime.as_secs());
    let end = latest.map_or(end, |latest| end.min(latest.as_second()));
    Ok((at(now.as_second().saturating_sub(skew.as_secs()))?, at(end)?))
}
