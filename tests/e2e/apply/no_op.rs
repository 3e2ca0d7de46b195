//! Secrets that change without changing what they declare: nothing is written to any object.
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Test;

/// For a write that should not come.
const QUIET: Duration = Duration::from_secs(3);

async fn versions(test: &Test) -> Vec<Value> {
    let mut versions = Vec::new();
    for (resource, name) in [("configmaps", "a"), ("configmaps", "b"), ("services", "web"), ("deployments", "web")] {
        let object = test.get(resource, name).await.unwrap();
        // A Deployment's controller may write its status at any time.
        let field = if resource == "deployments" { "generation" } else { "resourceVersion" };
        versions.push(object["metadata"][field].clone());
    }
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn what_means_the_same_is_not_written() {
    let test = Test::shared("same").await;
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  namespace: {}\nspec:\n  ports: [{{port: 80}}]\n  selector: {{app: web}}\n---\n",
        test.ns
    );
    let (a, b, web) = (test.config_map("a", "one"), test.config_map("b", "one"), test.deployment("web"));
    let whole = [&*a, &*b, &*service, &*web].concat();
    test.declare("mr", &whole).await;
    test.has("deployments", "web", "/status/observedGeneration", 1).await;
    let before = versions(&test).await;

    let mixed = [&*web, &*service, &*b, &*a].concat();
    let half = [&*a, &*service].concat();
    let rest = [&*web, &*b].concat();
    // The same fields, in another order, in JSON, with comments.
    let swapped = format!(
        "# {{}}\n{{\"spec\": {{\"selector\": {{\"app\": \"web\"}}, \"ports\": [{{\"port\": 80}}]}}, \"metadata\": {{\"namespace\": {:?}, \"name\": \"web\"}}, \"kind\": \"Service\", \"apiVersion\": \"v1\"}}\n---\n",
        test.ns
    );
    let commented = [&*a, "# nothing\n---\n", &*b, &*swapped, "---\n---\n", &*web].concat();
    let steps: [(&str, Vec<(&str, &str)>); 7] = [
        ("the documents in another order", vec![("objects.yaml", &mixed)]),
        ("under another key", vec![("other.yaml", &mixed)]),
        ("in two keys", vec![("x.yaml", &half), ("y.yaml", &rest)]),
        ("keys swapped", vec![("x.yaml", &rest), ("y.yaml", &half)]),
        ("fields in another order, comments, empty documents", vec![("objects.yaml", &commented)]),
        ("a key with nothing but comments", vec![("objects.yaml", &whole), ("notes.yaml", "# nothing to see here\n")]),
        ("as in the beginning", vec![("objects.yaml", &whole)]),
    ];
    let mut writes = test.writes();
    for (what, keys) in steps {
        let keys: Vec<(&str, &[u8])> = keys.iter().map(|(key, text)| (*key, text.as_bytes())).collect();
        test.try_secret("mr", &keys).await.unwrap();
        writes.none_for(QUIET, &format!("anything is written for {what}")).await;
    }
    // A new resourceVersion, the same content.
    for round in ["one", "two"] {
        test.merge("secrets", "mr", "somebody", &json!({"metadata": {"annotations": {"example.com/round": round}}}))
            .await;
        writes.none_for(QUIET, "anything is written for another resourceVersion").await;
    }
    let secret = test.get("secrets", "mr").await.unwrap();
    test.delete("secrets", "mr").await;
    test.reason("mr", "CannotReadSecret").await;
    test.create(
        "secrets",
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mr"}, "data": secret["data"]}),
    )
    .await;
    test.applied("mr").await;
    let written = writes.more();
    assert!(written.is_empty(), "rewritten, or gone and back: {written:#?}");
    assert_eq!(versions(&test).await, before);
    // A resync asks the server about every object, and changes none.
    test.resync("mr").await;
    writes.at_least(4).await;
    assert_eq!(versions(&test).await, before);
    assert!(test.events("Repaired").await.is_empty());
}
