//! Certificates of somebody else for a server: a CA, and what it has signed.
use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};

/// A CA, a server certificate and their keys, all as PEM.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    /// The CA.
    pub ca: String,
    /// The key of the CA.
    pub ca_key: String,
    /// The server's certificate.
    pub certificate: String,
    /// The server's key.
    pub key: String,
}

impl ServerCertificate {
    /// For a server of these names or addresses, valid until 2099.
    ///
    /// # Errors
    /// One of the names cannot stand in a certificate.
    pub fn new(names: &[String]) -> Result<Self> {
        Self::until(2099, names)
    }

    /// The same, expired since 2021.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn expired(names: &[String]) -> Result<Self> {
        Self::until(2021, names)
    }

    fn until(year: i32, names: &[String]) -> Result<Self> {
        let (begin, end) = (date_time_ymd(2020, 1, 1), date_time_ymd(year, 1, 1));
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "somebody's CA");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (authority.not_before, authority.not_after) = (begin, end);
        let mut server = CertificateParams::new(names).context("name the server")?;
        (server.not_before, server.not_after) = (begin, end);
        server.use_authority_key_identifier_extension = true;

        let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
        let ca = authority.self_signed(&authority_key).context("sign the CA")?.pem();
        let ca_key = authority_key.serialize_pem();
        let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key)).context("sign the server")?;
        Ok(Self { ca, ca_key, certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// A Secret in which the webhook finds them; without the key of the CA.
    #[must_use]
    pub fn secret(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"ca.crt": self.ca, "tls.crt": self.certificate, "tls.key": self.key},
        })
    }
}
