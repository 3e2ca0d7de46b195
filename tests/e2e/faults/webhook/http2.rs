//! At a URL of its own machine the API server speaks HTTP/2.
use holdfast_e2e::server_certificate::ServerCertificate;
use serde_json::Value;

use super::{SERVICE, Stage};

/// The Secret of the webhook, with a certificate that is also for this machine.
fn secret(ns: &str) -> Value {
    let names = [".svc", ".svc.cluster.local", ""].map(|suffix| format!("{SERVICE}.{ns}{suffix}"));
    let certificate = ServerCertificate::new(&[&names[..], &["127.0.0.1".to_owned()]].concat()).unwrap();
    let mut secret = certificate.secret("holdfast-webhook-tls");
    secret["stringData"]["ca.key"] = certificate.ca_key.into();
    secret
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_come_over_http2_where_the_api_server_speaks_it() {
    let stage = Stage::set_at_url("http2").await;
    let test = &stage.test;
    test.create("secrets", &secret(&test.ns)).await;
    stage.apply_once(&test.config_map("a", "one")).await;
    stage.webhook.start();
    stage.edit_says("a", "is managed by").await;
    let before = test.get("configmaps", "a").await.unwrap()["metadata"]["resourceVersion"].clone();
    // Several at a time on one connection.
    let edits = (0..8).map(|_| stage.edit("a"));
    for printed in futures::future::join_all(edits).await {
        assert!(printed.contains("is managed by"), "{printed}");
    }
    let metrics = stage.probe("/metrics").await;
    assert!(metrics.contains("connections_total{protocol=\"h2\"}") && !metrics.contains("http/1.1"), "{metrics}");
    assert_eq!(test.get("configmaps", "a").await.unwrap()["metadata"]["resourceVersion"], before);
}
