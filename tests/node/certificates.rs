//! Certificates of others, which are replaced while edits go on.
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::install::NAMESPACE;
use holdfast_e2e::server_certificate::ServerCertificate;
use holdfast_e2e::wait;
use serde_json::Value;

use crate::harness::{LIMIT, Node, figure, row};

/// A CA and a certificate for the webhook, and the Secret that has both.
fn secret() -> (Value, String) {
    let certificate = ServerCertificate::new(&[format!("holdfast-webhook.{NAMESPACE}.svc")]).unwrap();
    let mut secret = certificate.secret("certificates");
    secret["metadata"]["namespace"] = NAMESPACE.into();
    (secret, certificate.ca)
}

/// Waits until the API server trusts this CA.
async fn is_registered(node: &Node, authority: &str) {
    let desired = authority.trim();
    wait::eventually("the CA to be registered", LIMIT, || async {
        let found = node.get("validatingwebhookconfiguration holdfast").await.unwrap();
        let bundles = found["webhooks"].as_array().unwrap().iter().map(|each| {
            let bundle = each["clientConfig"]["caBundle"].as_str().unwrap_or_default();
            String::from_utf8(STANDARD.decode(bundle).unwrap()).unwrap()
        });
        if bundles.clone().all(|bundle| bundle.contains(desired)) { Ok(()) } else { Err("it is not in all bundles") }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn no_edit_passes_while_certificates_are_replaced() {
    let node = Node::cleared().await;
    node.does(&format!("create namespace {NAMESPACE}")).await;
    node.apply(&secret().0.to_string()).await;
    let source = ["webhook.certificates.source=Files", "webhook.certificates.secretName=certificates"];
    node.install("install", &[source[0], source[1], "webhook.failurePolicy=Fail"]).await;
    node.declare("edited").await;
    let edits = node.edits("edited").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (next, authority) = secret();
    let start = Instant::now();
    node.apply(&next.to_string()).await;
    is_registered(&node, &authority).await;
    figure("certificates replaced, until the new CA is registered", start.elapsed(), Duration::from_secs(15));
    // The hand-over follows as soon as the API server has it.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let tally = edits.end().await.unwrap();
    row("certificates replaced, policy Fail, edits", &tally.described());
    assert!(tally.are_all_refused(500), "{tally:#?}");
}
