//! The certificate that the API server shows to the webhook of the chart, as the chart's README says how to arrange it.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::install::NAMESPACE;

/// The CA of that certificate.
pub const AUTHORITY: &str = "webhook-client-ca.crt";

/// Writes the CA and what the API server is told, and returns the file for `--admission-control-config-file`.
///
/// # Errors
/// The disk says no.
pub(super) fn write(directory: &Path) -> Result<PathBuf> {
    let put = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok::<_, anyhow::Error>(path)
    };
    let (authority, certificate, key) = make()?;
    put(AUTHORITY, &authority)?;
    let user = json!({
        "client-certificate-data": STANDARD.encode(certificate), "client-key-data": STANDARD.encode(key),
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

/// CA, certificate and key, as PEM.
fn make() -> Result<(String, String, String)> {
    let authority_key = KeyPair::generate().context("make the key of a CA")?;
    let mut authority = CertificateParams::new(vec![]).context("name a CA")?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "webhook clients");
    let pem = authority.self_signed(&authority_key).context("make a CA")?.pem();
    let key = KeyPair::generate().context("make a key")?;
    let mut client = CertificateParams::new(vec![]).context("name the API server")?;
    client.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    client.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    let client = client.signed_by(&key, &Issuer::new(authority, authority_key)).context("make a certificate")?;
    Ok((pem, client.pem(), key.serialize_pem()))
}
