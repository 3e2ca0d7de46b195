//! Authenticates clients: with a client CA, only clients with its certificates may connect, and with a list of names, only
//! clients with one of them. Without a client CA, any client may.

mod refusal;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use holdfast_runtime::reminder::Reminder;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::metrics::ClientRefusal;
use refusal::{Refusals, refusal};

/// The client CA is unusable.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the client CA {}: {reason}", path.display())]
pub struct ClientCaError {
    path: PathBuf,
    reason: String,
}

/// Authenticates clients. Clones share the CA.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    path: PathBuf,
    names: Arc<[String]>,
    loaded: Arc<RwLock<ClientCa>>,
    refusals: Arc<Refusals>,
}

#[derive(Debug)]
struct ClientCa {
    content: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientAuth {
    /// Admits clients with a certificate of a CA in this file (PEM) and one of these names: common or alternative names. Without
    /// names, any certificate will do.
    ///
    /// # Errors
    /// The file cannot be read, or has no CA.
    pub async fn load(path: PathBuf, names: Vec<String>) -> Result<Self, ClientCaError> {
        let names: Arc<[String]> = names.into_iter().filter(|name| !name.is_empty()).collect();
        let content = read(&path).await?;
        let verifier = verifier(&path, &content, Arc::clone(&names))?;
        let loaded = Arc::new(RwLock::new(ClientCa { content, verifier }));
        Ok(Self { path, names, loaded, refusals: Arc::default() })
    }

    /// Reads the file in each period. Open connections stay open. An unusable file changes nothing.
    pub async fn reload(self, period: Duration, token: CancellationToken) -> anyhow::Result<()> {
        let mut reminder = Reminder::default();
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = tokio::time::sleep(period) => {}
            }
            match self.read_again().await {
                Ok(is_new) => {
                    reminder.clear();
                    if is_new {
                        tracing::info!("the client CA has changed");
                    }
                }
                Err(error) => reminder.warn(&format!("{error}; the former one stays in use")),
            }
        }
    }

    /// A handshake was complete.
    pub(crate) fn accepted(&self) {
        self.refusals.accepted();
    }

    /// A handshake failed. Returns why, if the client's certificate is the cause; this is logged now and then.
    pub(crate) fn refused(&self, error: &anyhow::Error, peer: SocketAddr) -> Option<ClientRefusal> {
        let refusal = refusal(error)?;
        self.refusals.refused(refusal, peer, &self.path);
        Some(refusal)
    }

    async fn read_again(&self) -> Result<bool, ClientCaError> {
        let content = read(&self.path).await?;
        if self.loaded.read().unwrap_or_else(PoisonError::into_inner).content == content {
            return Ok(false);
        }
        let verifier = verifier(&self.path, &content, Arc::clone(&self.names))?;
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = ClientCa { content, verifier };
        Ok(true)
    }

    /// The server's configuration for these clients only. It is made for each connection, so that no session of another CA is
    /// resumed.
    pub(crate) fn require_certificates(&self, server: &ServerConfig) -> Result<ServerConfig, rustls::Error> {
        let verifier = Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner).verifier);
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&server.cert_resolver));
        config.alpn_protocols.clone_from(&server.alpn_protocols);
        Ok(config)
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, ClientCaError> {
    let content = tokio::fs::read(path).await;
    content.map_err(|error| ClientCaError { path: path.to_owned(), reason: error.to_string() })
}

fn verifier(path: &Path, pem: &[u8], names: Arc<[String]>) -> Result<Arc<dyn ClientCertVerifier>, ClientCaError> {
    let failed = |reason: String| ClientCaError { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| failed("it is not in PEM".to_owned()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("there is no certificate in it".to_owned()));
    }
    let any = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .build()
        .map_err(|error| failed(error.to_string()))?;
    Ok(if names.is_empty() { any } else { Arc::new(NamedClients { any, names }) })
}

/// Admits clients that `any` admits, if they have one of the names.
#[derive(Debug)]
struct NamedClients {
    any: Arc<dyn ClientCertVerifier>,
    names: Arc<[String]>,
}

impl NamedClients {
    fn has_name(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
        let is_allowed = |name: &str| self.names.iter().any(|allowed| allowed == name);
        let mut common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        let alternative = certificate.subject_alternative_name().ok().flatten();
        common.any(is_allowed)
            || alternative.is_some_and(|names| {
                names.value.general_names.iter().any(|name| match name {
                    GeneralName::DNSName(name) | GeneralName::URI(name) => is_allowed(name),
                    _ => false,
                })
            })
    }
}

impl ClientCertVerifier for NamedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.any.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.any.verify_client_cert(certificate, intermediates, now)?;
        if self.has_name(certificate) {
            return Ok(verified);
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.any.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.any.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any.supported_verify_schemes()
    }
}
