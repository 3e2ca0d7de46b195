//! Other people's mutating webhooks beside mode Revert.
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Test, said};

/// Somebody's webhook that adds `data.late` to whatever it sees. Returns its address and certificate.
async fn serve() -> (SocketAddr, String) {
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![key.cert.der().clone()], der).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    });
    (address, key.cert.pem())
}

async fn answer(request: hyper::Request<Incoming>) -> Result<hyper::Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let patch = json!([{"op": "add", "path": "/data/late", "value": "x"}]).to_string();
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
        "uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch),
    }});
    Ok(hyper::Response::new(Full::new(answer.to_string().into())))
}

/// Registers it for what alice writes in the test's namespace; its name sorts behind ours.
async fn register(test: &Test, address: SocketAddr, certificate: &str, again: &str) {
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": format!("zzz-{}", test.ns)},
        "webhooks": [{
            "name": "late.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "reinvocationPolicy": again,
            "clientConfig": {"url": format!("https://{address}/"), "caBundle": STANDARD.encode(certificate)},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": test.ns}},
            "matchConditions": [{"name": "alice", "expression": "request.userInfo.username == 'alice'"}],
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}],
        }],
    });
    test.admin.send("apply --server-side", &configuration.to_string()).await.success().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_webhook_changes_afterwards_is_put_back_or_refused() {
    let test = Test::shared("mutators").await;
    test.secret("mr", &test.config_map("a", "one")).await;
    test.mr("mr", &["mr"], json!({"protection": {"mode": "Revert"}})).await;
    test.applied("mr").await;
    let before = test.get("configmaps", "a").await.unwrap();
    let (address, certificate) = serve().await;
    register(&test, address, &certificate, "Never").await;
    test.eventually("the other webhook to be called", || async {
        let output =
            test.alice.run("create configmap probe --from-literal=k=1 --dry-run=server -o jsonpath={.data.late}").await;
        if output.stdout == "x" { Ok(()) } else { Err(said(&output)) }
    })
    .await;

    // It is called after ours, and ours once more after it.
    let patch = ["patch", "configmap", "a", "-p", r#"{"data":{"k":"two"}}"#];
    let output = test.alice.with(&patch).await;
    assert!(output.status.success() && output.stderr.contains("data.late is not declared in"), "{}", said(&output));
    assert_eq!(test.get("configmaps", "a").await.unwrap(), before, "{}", said(&output));

    // One that insists gets the last word among those that change, and then the edit is refused.
    register(&test, address, &certificate, "IfNeeded").await;
    test.eventually("the edit to be refused", || async {
        let output = test.alice.with(&patch).await;
        let refusal = output.refusal().map_err(|error| error.to_string())?;
        if refusal.contains("data.late is not declared in") { Ok(()) } else { Err(refusal) }
    })
    .await;
    assert_eq!(test.get("configmaps", "a").await.unwrap(), before);
    test.admin.does(&format!("delete mutatingwebhookconfiguration zzz-{}", test.ns)).await;
}
