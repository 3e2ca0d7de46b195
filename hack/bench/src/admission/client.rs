//! The way to a webhook that the API server takes: TLS, one HTTP/1.1 connection that stays.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::stage::Stage;

/// Longer than any webhook may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Whom to trust, and by which name.
#[derive(Clone)]
pub(super) struct Trust {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Trust {
    /// Our webhook's CA, as it is registered.
    ///
    /// # Errors
    /// It is not.
    pub(super) async fn of_webhook(stage: &Stage) -> Result<Self> {
        let configuration =
            stage.validating_configurations().get("holdfast").await.context("get our webhook configuration")?;
        let bundle = configuration.data.pointer("/webhooks/0/clientConfig/caBundle").and_then(|text| text.as_str());
        let bundle = STANDARD.decode(bundle.context("no CA is registered")?).context("the CA bundle is not base64")?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&bundle) {
            roots.add(certificate.context("read the CA")?).context("trust the CA")?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("holdfast-webhook.holdfast-system.svc").context("the webhook's name")?;
        Ok(Self { config: Arc::new(config), name })
    }
}

/// One connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// # Errors
    /// It cannot be opened.
    pub(super) async fn open(address: SocketAddr, trust: &Trust) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        let tls = TlsConnector::from(Arc::clone(&trust.config)).connect(trust.name.clone(), stream);
        let tls = timeout(LIMIT, tls).await.context("the TLS handshake takes too long")?.context("TLS handshake")?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await.context("begin HTTP")?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Sends a review. Returns how long it took, and the answer's body.
    ///
    /// # Errors
    /// There is no answer, or it is an HTTP error.
    pub(super) async fn ask(&mut self, path: &str, body: Bytes) -> Result<(Duration, Bytes)> {
        let request = Request::post(path)
            .header("Host", "holdfast-webhook.holdfast-system.svc")
            .header("Content-Type", "application/json")
            .body(Full::new(body))
            .context("make a request")?;
        // The last answer was read to its end, and the connection may not know it yet.
        let begun = Instant::now();
        let whole = async {
            self.sender.ready().await.context("wait for the connection")?;
            let response = self.sender.send_request(request).await.context("send a review")?;
            ensure!(response.status() == 200, "the webhook answers {}", response.status());
            Ok(response.into_body().collect().await.context("read the answer")?.to_bytes())
        };
        let answer = timeout(LIMIT, whole).await.context("no answer in time")??;
        Ok((begun.elapsed(), answer))
    }
}
