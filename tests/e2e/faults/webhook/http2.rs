//! At a URL of its own machine the API server speaks HTTP/2.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use super::{SERVICE, Stage};

/// The Secret of the webhook, with a certificate that is also for this machine.
fn secret(ns: &str) -> Value {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let bundle = authority.self_signed(&authority_key).unwrap().pem();
    let authority_pem = authority_key.serialize_pem();
    let of_service = ["svc", "svc.cluster.local"].map(|suffix| format!("{SERVICE}.{ns}.{suffix}"));
    let names = of_service.into_iter().chain([format!("{SERVICE}.{ns}"), "127.0.0.1".to_owned()]).collect::<Vec<_>>();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    let data =
        [("ca.crt", bundle), ("ca.key", authority_pem), ("tls.crt", leaf.pem()), ("tls.key", key.serialize_pem())];
    let data: Value = data.map(|(name, pem)| (name.to_owned(), json!(STANDARD.encode(pem)))).into_iter().collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "holdfast-webhook-tls"}, "data": data})
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_come_over_http2_where_the_api_server_speaks_it() {
    let stage = Stage::set_at_url("http2").await;
    let test = &stage.test;
    test.create("secrets", &secret(&test.ns)).await;
    stage.declare(&test.config_map("a", "one")).await;
    stage.webhook.start();
    stage.edit_says("a", "is managed by").await;
    let before = test.get("configmaps", "a").await.unwrap()["metadata"]["resourceVersion"].clone();
    // Several at a time on one connection.
    let edits = (0..8).map(|_| stage.edit("a"));
    for said in futures::future::join_all(edits).await {
        assert!(said.contains("is managed by"), "{said}");
    }
    let metrics = stage.probe("/metrics").await;
    assert!(metrics.contains("connections_total{protocol=\"h2\"}") && !metrics.contains("http/1.1"), "{metrics}");
    assert_eq!(test.get("configmaps", "a").await.unwrap()["metadata"]["resourceVersion"], before);
}
