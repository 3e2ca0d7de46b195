//! The certificate that an API server shows to the webhook, arranged as the chart's README says.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::install::NAMESPACE;

/// A client certificate with its key, and the CA of it: PEM.
#[derive(Debug)]
pub struct Identity {
    /// The CA.
    pub authority: String,
    /// The certificate.
    pub certificate: String,
    /// Its key (PKCS#8).
    pub key: String,
}

impl Identity {
    /// A certificate with this common name, of a CA of its own.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new(common: &str) -> Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().context("make the key of a CA")?;
        let pem = authority.self_signed(&authority_key).context("make a CA")?.pem();
        let mut client = CertificateParams::default();
        client.distinguished_name.push(DnType::CommonName, common);
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().context("make a key")?;
        let signed = client.signed_by(&key, &Issuer::new(authority, authority_key)).context("make a certificate")?;
        Ok(Self { authority: pem, certificate: signed.pem(), key: key.serialize_pem() })
    }

    /// Writes what has an API server show this certificate to the webhook of the chart, and returns the file for its flag
    /// `--admission-control-config-file`.
    ///
    /// # Errors
    /// The disk says no.
    pub fn configure(&self, directory: &Path) -> Result<PathBuf> {
        let put = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            Ok::<_, anyhow::Error>(path)
        };
        let user = json!({
            "client-certificate": put("client.crt", &self.certificate)?, "client-key": put("client.key", &self.key)?,
        });
        let name = format!("holdfast-webhook.{NAMESPACE}.svc:9443");
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "users": [{"name": name, "user": user}]});
        let kubeconfig = put("webhooks.kubeconfig", &kubeconfig.to_string())?;
        let plugins = ["ValidatingAdmissionWebhook", "MutatingAdmissionWebhook"].map(|name| {
            json!({"name": name, "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration",
                "kubeConfigFile": kubeconfig,
            }})
        });
        let admission = json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins,
        });
        put("admission.yaml", &admission.to_string())
    }
}
