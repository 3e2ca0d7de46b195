//! Only those with a certificate of the client CA.

use holdfast_webhook::server::client_auth::ClientAuth;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// For a client, or for a server.
    fn certificate(&self, common: &str, names: &[&str], purpose: ExtendedKeyUsagePurpose) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn client(&self, common: &str, names: &[&str]) -> Identity {
        self.certificate(common, names, ExtendedKeyUsagePurpose::ClientAuth)
    }
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// Whether a client with this certificate gets an answer. (In TLS 1.3 a client learns of a refusal when it reads.)
async fn gets_in(server: &Server, loaded: &ServingCertificate, identity: Option<&Identity>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&loaded.bundle).unwrap()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match identity {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap(),
        None => builder.with_no_client_auth(),
    };
    let Ok(mut stream) = connect_with(config, server.address, b"http/1.1").await else { return false };
    let _ = stream.write_all(b"GET /protect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 405"), "{}", String::from_utf8_lossy(&answer));
    !answer.is_empty()
}

#[tokio::test]
async fn only_clients_with_a_certificate_get_in() {
    install_crypto_provider();
    let (ours, foreign) = (Authority::new(), Authority::new());
    let directory = std::env::temp_dir().join(format!("holdfast-clients-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("ca.crt");
    for bad in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&path, bad).unwrap();
        let error = ClientAuth::load(path.clone(), vec![]).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot use the client CA {}: ", path.display())), "{error}");
    }
    std::fs::write(&path, &ours.pem).unwrap();

    let allowed = vec!["kube-apiserver".to_owned(), String::new()];
    let clients = ClientAuth::load(path.clone(), allowed).await.unwrap();
    let any = ClientAuth::load(path.clone(), vec![]).await.unwrap();
    let start = |clients: &ClientAuth| {
        let clients = Some(clients.clone());
        start_with(app(index(), Cluster::HasNot), |server| server.for_clients(clients))
    };
    let (named, unnamed) = (start(&clients).await, start(&any).await);
    let (loaded, loaded_too) = (named.certified(), unnamed.certified());
    let server_only = ours.certificate("kube-apiserver", &[], ExtendedKeyUsagePurpose::ServerAuth);
    for (case, identity, by_name, by_any) in [
        ("none", None, false, false),
        ("ours by common name", Some(ours.client("kube-apiserver", &[])), true, true),
        ("ours by alternative name", Some(ours.client("x", &["a.example", "kube-apiserver"])), true, true),
        ("ours of another name", Some(ours.client("mallory", &["kube-apiserver.example"])), false, true),
        ("of another CA", Some(foreign.client("kube-apiserver", &[])), false, false),
        ("of a server", Some(server_only), false, false),
    ] {
        assert_eq!(gets_in(&named, &loaded, identity.as_ref()).await, by_name, "{case}, with names");
        assert_eq!(gets_in(&unnamed, &loaded_too, identity.as_ref()).await, by_any, "{case}, without names");
    }

    // The file changes; what is of no use changes nothing.
    let (old, new) = (ours.client("kube-apiserver", &[]), foreign.client("kube-apiserver", &[]));
    tokio::spawn(clients.reload(Duration::from_millis(20), named.token.clone()));
    std::fs::write(&path, "nonsense").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(gets_in(&named, &loaded, Some(&old)).await);
    std::fs::write(&path, &foreign.pem).unwrap();
    for _ in 0..100 {
        if gets_in(&named, &loaded, Some(&new)).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(gets_in(&named, &loaded, Some(&new)).await && !gets_in(&named, &loaded, Some(&old)).await);
    std::fs::remove_dir_all(&directory).unwrap();
}
