//! Labels and annotations: of others where they are not wanted, and our own when they are not declared any more.
use serde_json::{Value, json};

use crate::harness::Test;

fn labelled(test: &Test, name: &str, labels: &str, annotations: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {}, labels: {labels}, annotations: {annotations}}}, data: {{k: v}}}}\n---\n",
        test.ns
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_and_annotations_of_others_are_removed_where_that_is_asked_for() {
    let test = Test::shared("force").await;
    test.declare("mr", &[labelled(&test, "a", "{own: one}", "{own: one}"), test.deployment("web")].concat())
        .mode("Off")
        .await;
    for (resource, name) in [("configmaps", "a"), ("deployments", "web")] {
        let patch = json!({"metadata": {"labels": {"theirs": "x"}, "annotations": {"theirs": "x"}}});
        test.merge(resource, name, "kubectl-label", &patch).await;
        // Kept whoever set it: without it an object might be deleted that somebody wants.
        let keep = json!({"metadata": {"annotations": {"resources.gardener.cloud/keep-object": "false"}}});
        test.merge(resource, name, "kubectl-label", &keep).await;
    }

    // What is there goes when it is asked for.
    let forced =
        json!({"protection": {"mode": "Off"}, "forceOverwriteLabels": true, "forceOverwriteAnnotations": true});
    test.mr("mr", &["mr"], forced).await;
    test.applied("mr").await;
    let theirs = "/metadata/labels/theirs";
    for (resource, name) in [("configmaps", "a"), ("deployments", "web")] {
        test.has(resource, name, theirs, Value::Null).await;
        test.has(resource, name, "/metadata/annotations/theirs", Value::Null).await;
        test.has(resource, name, "/metadata/annotations/resources.gardener.cloud~1keep-object", "false").await;
    }
    test.has("deployments", "web", "/metadata/annotations/deployment.kubernetes.io~1revision", "1").await;
    let before = test.get("configmaps", "a").await.unwrap();
    assert_eq!(
        (&before["metadata"]["labels"]["own"], &before["metadata"]["annotations"]["own"]),
        (&json!("one"), &json!("one"))
    );

    // What comes later is noticed by watch, also on a kind whose generation does not count labels.
    for (resource, name) in [("configmaps", "a"), ("deployments", "web")] {
        test.merge(resource, name, "kubectl-label", &json!({"metadata": {"labels": {"theirs": "y"}}})).await;
        test.has(resource, name, theirs, Value::Null).await;
        test.merge(resource, name, "kubectl-label", &json!({"metadata": {"annotations": {"theirs": "y"}}})).await;
        test.has(resource, name, "/metadata/annotations/theirs", Value::Null).await;
    }

    // Half of it: each setting is for its own kind of mark.
    test.mr("mr", &["mr"], json!({"protection": {"mode": "Off"}, "forceOverwriteLabels": true})).await;
    test.applied("mr").await;
    let both = json!({"metadata": {"labels": {"theirs": "z"}, "annotations": {"theirs": "z"}}});
    test.merge("configmaps", "a", "kubectl-label", &both).await;
    test.has("configmaps", "a", theirs, Value::Null).await;
    test.has("configmaps", "a", "/metadata/annotations/theirs", "z").await;
    // Nobody fights.
    let reported = test.events("Fight").await;
    assert!(reported.is_empty(), "{reported:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_they_are_removed_they_are_refused_first() {
    let test = Test::shared("force").await;
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat())
        .with("forceOverwriteLabels", true)
        .with("forceOverwriteAnnotations", true)
        .await;
    for (words, field) in [
        ("label configmap a team=blue", "metadata.labels.team"),
        ("annotate configmap a example.com/x=y", "metadata.annotations[example.com/x]"),
        ("label deployment web team=blue", "metadata.labels.team"),
    ] {
        let output = test.alice.run(words).await;
        let expected = format!("{field} is not declared in Secret {}/mr and would be removed", test.ns);
        assert!(!output.status.success() && output.stderr.contains(&expected), "{words}: {output:?}");
    }
    let patch = r#"{"metadata":{"labels":{"team":"blue"}}}"#;
    let output = test.alice.with(&["patch", "deployment", "web", "--subresource=status", "-p", patch]).await;
    let is_there = test.get("deployments", "web").await.unwrap()["metadata"]["labels"]["team"] == "blue";
    assert!(!is_there, "through the status: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn references_of_others_for_the_garbage_collector_go() {
    let test = Test::shared("reference").await;
    let key = "reference.resources.gardener.cloud/secret-12345678";
    let pointer = "/metadata/annotations/reference.resources.gardener.cloud~1secret-12345678";
    let declared = "{reference.resources.gardener.cloud/configmap-87654321: mine}";
    test.declare("mr", &[labelled(&test, "a", "{}", declared), test.deployment("web")].concat()).mode("Off").await;
    for (resource, name) in [("configmaps", "a"), ("deployments", "web")] {
        test.merge(
            resource,
            name,
            "kubectl",
            &json!({"metadata": {"annotations": {key: "theirs", "example.com/n": "x"}}}),
        )
        .await;
        test.has(resource, name, pointer, Value::Null).await;
        test.has(resource, name, "/metadata/annotations/example.com~1n", "x").await;
    }
    let own = "/metadata/annotations/reference.resources.gardener.cloud~1configmap-87654321";
    test.has("configmaps", "a", own, "mine").await;
    test.redeclare("mr", &[labelled(&test, "a", "{}", "{}"), test.deployment("web")].concat()).await;
    test.has("configmaps", "a", own, Value::Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_declared_any_more_vanishes_unless_somebody_changed_it() {
    let test = Test::shared("dropped").await;
    test.secret("mr", &labelled(&test, "a", "{x: '1', y: '1'}", "{x: '1', y: '1'}")).await;
    // So that what others change is left until the next change of the manifests.
    test.mr("mr", &["mr"], json!({"protection": {"mode": "Off", "repair": "Resync"}})).await;
    test.applied("mr").await;
    let changed = json!({"metadata": {"labels": {"y": "2"}, "annotations": {"y": "2"}}});
    test.merge("configmaps", "a", "kubectl-label", &changed).await;
    test.redeclare("mr", &labelled(&test, "a", "{z: '1'}", "{z: '1'}")).await;
    for map in ["labels", "annotations"] {
        let object = test.get("configmaps", "a").await.unwrap();
        let entries = &object["metadata"][map];
        assert_eq!((&entries["x"], &entries["y"], &entries["z"]), (&Value::Null, &json!("2"), &json!("1")), "{map}");
    }
}
