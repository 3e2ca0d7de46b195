//! What is anybody's to write: the API server does not even ask the webhook about it. What rides on it is asked about.
use std::collections::BTreeMap;

use holdfast_e2e::kubectl::Output;
use serde_json::{Value, json};

use crate::harness::Test;

/// An expression on a map of so many entries would cost the API server more than it grants to one.
const MANY: usize = 20_000;

fn labelled(test: &Test, name: &str, data: &BTreeMap<String, String>) -> String {
    let own = json!({"own": "one"});
    let metadata = json!({"name": name, "namespace": test.ns, "labels": own, "annotations": own});
    format!("{}\n---\n", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))
}

fn many(count: usize) -> BTreeMap<String, String> {
    (0..count).map(|number| (format!("k{number}"), "v".to_owned())).collect()
}

/// From a file: the larger ones are too long for a command line.
async fn patch(test: &Test, name: &str, manager: &str, change: &Value) -> Output {
    let mut written = tempfile::NamedTempFile::new().unwrap();
    serde_json::to_writer(&mut written, change).unwrap();
    let file = format!("--patch-file={}", written.path().display());
    let manager = format!("--field-manager={manager}");
    test.alice.with(&["patch", "configmap", name, "--type=merge", &file, &manager]).await
}

/// An expression that fails is an edit that nobody judges.
async fn no_expression_fails(test: &Test) {
    let metrics = test.admin.does("get --raw /metrics").await;
    assert!(metrics.contains("apiserver_admission_match_condition_evaluation_seconds"), "the metric is there");
    let of_ours = |line: &&str| {
        line.starts_with("apiserver_admission_match_condition_evaluation_errors_total")
            && line.contains("gardener.cloud")
    };
    let failed: Vec<&str> = metrics.lines().filter(of_ours).filter(|line| !line.ends_with(" 0")).collect();
    assert_eq!(failed, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rides_on_free_metadata_is_refused_all_the_same() {
    let test = Test::shared("free").await;
    let manifests = [labelled(&test, "a", &many(1)), labelled(&test, "large", &many(MANY))].concat();
    test.declare("mr", &manifests).await;

    let free = json!({"metadata": {"labels": {"theirs": "x"}, "annotations": {"theirs": "x"}, "finalizers": ["example.com/x"]}});
    patch(&test, "a", "them", &free).await.success().unwrap();
    patch(&test, "large", "them", &free).await.success().unwrap();
    let gone = json!({"metadata": {"labels": {"theirs": null}, "annotations": {"theirs": null}, "finalizers": null}});
    patch(&test, "a", "them", &gone).await.success().unwrap();
    let crowd = json!({"metadata": {"labels": many(MANY)}});
    patch(&test, "a", "them", &crowd).await.success().unwrap();

    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "u"}]);
    for (case, metadata, data) in [
        ("a declared label", json!({"labels": {"own": "x", "theirs": "y"}}), json!({})),
        ("a declared annotation", json!({"annotations": {"own": null, "theirs": "y"}}), json!({})),
        ("a mark of ours", json!({"labels": {"resources.gardener.cloud/managed-by": "x"}}), json!({})),
        (
            "the label that the webhook is asked by",
            json!({"labels": {"resources.gardener.cloud/protection": "off"}}),
            json!({}),
        ),
        ("an owner", json!({"ownerReferences": owner}), json!({})),
        ("our field ownership", json!({"managedFields": [{}]}), json!({})),
        ("content", json!({"labels": {"theirs": "y"}}), json!({"k0": "x"})),
        ("new content", json!({"labels": {"theirs": "y"}}), json!({"theirs": "x"})),
        ("no content", json!({"labels": {"theirs": "y"}}), json!(null)),
        ("a declared label in a crowd", json!({"labels": {"own": "x"}, "annotations": many(100)}), json!({})),
        ("content in a crowd", json!({"annotations": many(100)}), json!({"k0": "x"})),
    ] {
        for (name, manager) in [("a", "them"), ("large", "them"), ("a", "holdfast")] {
            let output = patch(&test, name, manager, &json!({"metadata": metadata, "data": data})).await;
            let refusal = output.refusal().unwrap_or_else(|error| panic!("{case} of {name}: {error:#}"));
            assert!(refusal.contains("is managed by"), "{case} of {name}: {refusal}");
        }
    }
    // In our name, within the second in which we have applied.
    let object = test.get("configmaps", "a").await.unwrap();
    let mut labels = object["metadata"]["labels"].clone();
    labels["own"] = "x".into();
    let forged = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": object["data"],
        "metadata": {"name": "a", "labels": labels, "annotations": object["metadata"]["annotations"]}});
    let refused = test.try_apply_as("holdfast", "configmaps", &forged).await.unwrap_err().to_string();
    assert!(refused.contains("is managed by"), "{refused:.300}");

    // Where labels of others are not wanted, they are not free.
    test.mr("mr", &["mr"], json!({"forceOverwriteLabels": true})).await;
    test.has("configmaps", "large", "/metadata/annotations/resources.gardener.cloud~1force-overwrite", "labels").await;
    test.applied("mr").await;
    let refusal =
        patch(&test, "large", "them", &json!({"metadata": {"labels": {"more": "x"}}})).await.refusal().unwrap();
    assert!(refusal.contains("metadata.labels.more is not declared"), "{refusal}");
    patch(&test, "large", "them", &json!({"metadata": {"annotations": {"more": "x"}}})).await.success().unwrap();

    no_expression_fails(&test).await;
}
