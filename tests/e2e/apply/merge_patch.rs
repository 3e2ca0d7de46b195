//! Manifests that the server refuses to apply: duplicate keys in a list, fields that the schema does not know. The Go
//! original accepts them, so they are written without apply, and held all the same.
use serde_json::{Value, json};

use crate::harness::{PROTECTION, Test};

#[tokio::test(flavor = "multi_thread")]
async fn unappliable_manifests_are_written_held_and_mended() {
    let test = Test::shared("fallback").await;
    let good = test.deployment("web");
    let twice = good.replace("{name: main,", "{env: [{name: A, value: one}, {name: A, value: two}], name: main,");
    assert_ne!(good, twice, "the harness names the container main");
    let unknown = test.config_map("unknown", "one").replace("\ndata:", "\nnonsense: true\ndata:");
    assert!(unknown.contains("nonsense"));
    test.declare("mr", &[twice.clone(), unknown].concat()).await;

    let env = "/spec/template/spec/containers/0/env";
    test.has("deployments", "web", env, json!([{"name": "A", "value": "one"}, {"name": "A", "value": "two"}])).await;
    test.has("configmaps", "unknown", "/data/k", "one").await;
    test.has("configmaps", "unknown", "/nonsense", Value::Null).await;

    // Settled: applying everything again changes nothing.
    let before = settled(&test).await;
    test.resync("mr").await;
    test.has("deployments", "web", "/metadata/resourceVersion", before).await;

    // Edits and additions are refused, as of any other object.
    let refused = test.alice.run(r#"patch deployment web -p {"spec":{"replicas":5}}"#).await;
    assert!(!refused.status.success() && refused.stderr.contains("spec.replicas"), "{refused:?}");
    let refused = test.alice.run(r#"patch configmap unknown -p {"data":{"extra":"x"}}"#).await;
    assert!(!refused.status.success() && refused.stderr.contains("data.extra is not declared"), "{refused:?}");
    // What got in all the same is removed.
    test.mr("mr", &["mr"], json!({"protection": {"mode": "Off"}})).await;
    test.has("configmaps", "unknown", PROTECTION, "off").await;
    test.alice.does(r#"patch configmap unknown -p {"data":{"extra":"x"}}"#).await;
    test.has("configmaps", "unknown", "/data/extra", Value::Null).await;
    test.mr("mr", &["mr"], json!({})).await;
    test.has("configmaps", "unknown", PROTECTION, "deny").await;
    test.admin.does("delete configmap unknown --as=system:serviceaccount:kube-system:namespace-controller").await;
    test.has("configmaps", "unknown", "/data/k", "one").await;

    // Mended: apply takes over and what is not declared goes.
    test.redeclare("mr", &[good, test.config_map("unknown", "two")].concat()).await;
    test.has("deployments", "web", env, Value::Null).await;
    test.has("configmaps", "unknown", "/data", json!({"k": "two"})).await;
    let object = test.get("configmaps", "unknown").await.unwrap();
    let entries = object["metadata"]["managedFields"].as_array().unwrap().clone();
    let applied = entries.iter().any(|entry| entry["manager"] == "holdfast" && entry["operation"] == "Apply");
    assert!(applied, "{entries:?}");
}

/// The resourceVersion, once the Deployment's own controller has written its status for the last time.
async fn settled(test: &Test) -> Value {
    let mut last = Value::Null;
    let version = || async {
        let deployment = test.try_get("deployments", "web").await?.ok_or("it is gone")?;
        Ok::<_, String>(deployment["metadata"]["resourceVersion"].clone())
    };
    for _ in 0..20 {
        let now = version().await.unwrap();
        if now == last {
            break;
        }
        last = now;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    last
}
