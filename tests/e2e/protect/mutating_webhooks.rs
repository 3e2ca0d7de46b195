//! Other people's mutating webhooks beside mode Revert.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::review_server::ReviewServer;
use serde_json::{Value, json};

use crate::harness::{Test, printed};

/// Somebody's webhook that adds `data.late` to whatever it sees.
async fn serve() -> ReviewServer {
    let answer = |_: &str, body: &[u8]| {
        let review: Value = serde_json::from_slice(body).unwrap_or_default();
        let patch = json!([{"op": "add", "path": "/data/late", "value": "x"}]).to_string();
        json!({"uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch)})
    };
    ReviewServer::start("127.0.0.1", answer).await.unwrap()
}

/// Registers it for what alice writes in the test's namespace; its name sorts behind ours.
async fn register(test: &Test, server: &ReviewServer, again: &str) {
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": format!("zzz-{}", test.ns)},
        "webhooks": [{
            "name": "late.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "reinvocationPolicy": again,
            "clientConfig": {"url": format!("https://{}/", server.address), "caBundle": STANDARD.encode(&server.certificate)},
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
    test.declare("mr", &test.config_map("a", "one")).mode("Revert").await;
    let before = test.get("configmaps", "a").await.unwrap();
    let server = serve().await;
    register(&test, &server, "Never").await;
    test.eventually("the other webhook to be called", || async {
        let output =
            test.alice.run("create configmap probe --from-literal=k=1 --dry-run=server -o jsonpath={.data.late}").await;
        if output.stdout == "x" { Ok(()) } else { Err(printed(&output)) }
    })
    .await;

    // It is called after ours, and ours once more after it.
    let patch = ["patch", "configmap", "a", "-p", r#"{"data":{"k":"two"}}"#];
    let output = test.alice.with(&patch).await;
    assert!(output.status.success() && output.stderr.contains("data.late is not declared in"), "{}", printed(&output));
    assert_eq!(test.get("configmaps", "a").await.unwrap(), before, "{}", printed(&output));

    // One that insists gets the last word among those that change, and then the edit is refused.
    register(&test, &server, "IfNeeded").await;
    test.eventually("the edit to be refused", || async {
        let output = test.alice.with(&patch).await;
        let refusal = output.refusal().map_err(|error| error.to_string())?;
        if refusal.contains("data.late is not declared in") { Ok(()) } else { Err(refusal) }
    })
    .await;
    assert_eq!(test.get("configmaps", "a").await.unwrap(), before);
    test.admin.does(&format!("delete mutatingwebhookconfiguration zzz-{}", test.ns)).await;
}
