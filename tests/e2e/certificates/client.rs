//! Only the API server may connect: it shows the client certificate that its AdmissionConfiguration names.
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::control_plane::Options;
use holdfast_e2e::install;
use holdfast_e2e::webhook_client::Identity;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{Cluster, SYSTEM, Test, WEBHOOK, printed, protects};

const CONFIG_MAP: &str = "webhook-client-ca";

/// Whether a replica answers a client that is not the API server.
async fn answers(test: &Test, identity: Option<&Identity>) -> bool {
    let secret = Test::within(Arc::clone(&test.cluster), SYSTEM).get("secrets", "holdfast-webhook-tls").await.unwrap();
    let bundle = STANDARD.decode(secret["data"]["ca.crt"].as_str().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&bundle).unwrap()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    let pod = test.cluster.player.pods_of(WEBHOOK).remove(0);
    let stream = TcpStream::connect((pod.address, 9443)).await.unwrap();
    let name = ServerName::try_from(format!("{WEBHOOK}.{SYSTEM}.svc")).unwrap();
    let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else { return false };
    let _ = stream.write_all(b"GET /protect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 405"), "{}", String::from_utf8_lossy(&answer));
    !answer.is_empty()
}

/// Waits until a pod of the webhook says in its log and in its metrics that it has refused somebody for this reason; and says it
/// once, however often it happens.
async fn is_reported(test: &Test, reason: &str, part: &str) {
    let player = &test.cluster.player;
    test.eventually(&format!("{reason} to be told"), || async {
        for pod in player.pods_of(WEBHOOK) {
            let reported =
                crate::install::config_file::answers(&format!("{}:8081", pod.address), "/metrics", 200).await;
            let counter = format!("holdfast_webhook_refused_clients_total{{reason=\"{reason}\"}} ");
            let log = player.logs(SYSTEM, &pod.name);
            let lines: Vec<&str> = log.lines().filter(|line| line.contains(&format!("\"{reason}\""))).collect();
            if reported.contains(&counter) && lines.len() == 1 && lines[0].contains(part) {
                let remedies = ["--admission-control-config-file", "webhook.clientCertificates", "127."];
                assert!(remedies.iter().all(|remedy| lines[0].contains(remedy)), "{lines:?}");
                return Ok(());
            }
        }
        Err(player.pods_of(WEBHOOK).iter().map(|pod| player.logs(SYSTEM, &pod.name)).collect::<String>())
    })
    .await;
}

/// As the webhook fails open, nobody would notice otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_shows_no_certificate_is_told_of() {
    let test = Test::on(Arc::new(Cluster::bare().await), "clients").await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}});
    test.create("namespaces", &namespace).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP},
        "data": {"ca.crt": Identity::new("kube-apiserver").unwrap().authority}});
    Test::within(Arc::clone(&test.cluster), SYSTEM).create("configmaps", &map).await;
    let value = format!("webhook.clientCertificates.configMap={CONFIG_MAP}");
    install::install(&test.cluster.control_plane, &test.cluster.player, &[&value]).await.unwrap();
    test.declare("mr", &test.config_map("a", "one")).await;
    for _ in 0..3 {
        test.alice.does(r#"patch configmap a -p {"data":{"k":"x"}}"#).await;
        test.has("configmaps", "a", "/data/k", "one").await;
    }
    is_reported(&test, "no-certificate", "no client could connect so far").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_api_server_gets_answers() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Identity::new("kube-apiserver").unwrap();
    let flag = format!("--admission-control-config-file={}", ours.configure(directory.path()).unwrap().display());
    let cluster = Cluster::bare_with(Options { api_server_args: vec![flag], ..Options::default() }).await;
    let test = Test::on(Arc::new(cluster), "clients").await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}});
    test.create("namespaces", &namespace).await;
    let system = Test::within(Arc::clone(&test.cluster), SYSTEM);
    let map = |pem: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP}, "data": {"ca.crt": pem}});
    system.create("configmaps", &map(&ours.authority)).await;
    let values = [
        "webhook.failurePolicy=Fail",
        &format!("webhook.clientCertificates.configMap={CONFIG_MAP}"),
        "webhook.clientCertificates.names={kube-apiserver}",
        "webhook.extraArgs={--credentials-period=1s}",
    ];
    install::install(&test.cluster.control_plane, &test.cluster.player, &values).await.unwrap();
    test.declare("mr", &test.config_map("a", "one")).await;
    let edit = ["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#];
    protects(&test, &edit).await;

    // Nobody else, whoever they are to the API server.
    let other = Identity::new("kube-apiserver").unwrap();
    for identity in [None, Some(&other), Some(&Identity::new("mallory").unwrap())] {
        assert!(!answers(&test, identity).await);
    }
    is_reported(&test, "no-certificate", "other clients could, so this may have been a probe or a scanner").await;
    is_reported(&test, "other-authority", "its certificate is of no CA in").await;
    assert!(answers(&test, Some(&ours)).await);

    // A CA more counts without a restart.
    system.try_apply("configmaps", &map(&[&*other.authority, &*ours.authority].concat())).await.unwrap();
    test.eventually("certificates of the other CA to be taken", || async {
        if answers(&test, Some(&other)).await { Ok(()) } else { Err("they are refused".to_owned()) }
    })
    .await;
    assert!(answers(&test, Some(&ours)).await && !answers(&test, None).await);
    assert!(printed(&test.alice.with(&edit).await).contains("is managed by"));
    let restarts: u32 = test.cluster.player.pods_of(WEBHOOK).iter().map(|pod| pod.restarts).sum();
    assert_eq!(restarts, 0);
}
