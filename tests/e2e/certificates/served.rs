//! What the webhook's pods really serve with.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_e2e::player::PlayedPod;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{Test, WEBHOOK};

pub fn address(pod: &PlayedPod) -> SocketAddr {
    SocketAddr::new(pod.address.into(), pod.ports["https"])
}

/// A handshake as the API server makes it: with the CAs of this bundle.
pub async fn trusts(address: SocketAddr, bundle: &str, name: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    shake(address, config, name).await.map(drop)
}

/// The certificate that a server shows to everybody.
pub async fn shown(address: SocketAddr) -> Result<CertificateDer<'static>, String> {
    let verifier = Arc::new(Everybody(ring::default_provider()));
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    shake(address, config, "x").await
}

async fn shake(address: SocketAddr, config: ClientConfig, name: &str) -> Result<CertificateDer<'static>, String> {
    let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    let connected = async {
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let limit = Duration::from_secs(10);
    let stream = tokio::time::timeout(limit, connected).await.map_err(|_| "no answer".to_owned())?;
    let stream = stream.map_err(|error| error.to_string())?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    chain.first().map(|leaf| leaf.clone().into_owned()).ok_or_else(|| "no certificate".to_owned())
}

/// Waits until all pods of the webhook serve with this certificate (PEM).
pub async fn by_all(test: &Test, leaf: &str) {
    test.eventually("all replicas to serve with a certificate", || is_by_all(test, leaf)).await;
}

/// Whether all pods of the webhook serve with this certificate (PEM).
pub async fn is_by_all(test: &Test, leaf: &str) -> Result<(), String> {
    let leaf = CertificateDer::from_pem_slice(leaf.as_bytes()).map_err(|error| error.to_string())?;
    for pod in test.cluster.player.pods_of(WEBHOOK) {
        if shown(address(&pod)).await? != leaf {
            return Err(format!("{} has another one", pod.name));
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Everybody(CryptoProvider);

impl ServerCertVerifier for Everybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
