//! `finalize-deletion-after`: deletions that hang on finalizers are not waited for any longer than a manifest says.
use serde_json::json;

use crate::harness::{Manifest as _, Test, nothing_happens_for};

const AFTER: &str = "resources.gardener.cloud/finalize-deletion-after";

fn blocked(test: &Test, name: &str, after: &str) -> String {
    let metadata = format!("metadata:\n  finalizers: [example.com/hold]\n  annotations: {{{AFTER}: {after}}}\n");
    test.config_map(name, "one").replace("metadata:\n", &metadata)
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizers_are_removed_when_their_time_is_over() {
    let test = Test::shared("finalize").await;
    test.declare(
        "mr",
        &[blocked(&test, "short", "1s"), blocked(&test, "long", "1h"), test.config_map("b", "one")].concat(),
    )
    .await;
    test.secret("mr", &test.config_map("b", "two")).await;
    test.gone("configmaps", "short").await;
    // The other one is named, alone.
    test.message("mr", "DeletionPending", &["1 error occurred", "/long"]).await;
    assert!(test.get("configmaps", "long").await.is_some());
    test.eventually("an Event that says so", || async {
        let reported = test.events("Finalized").await;
        if reported.iter().any(|note| note.contains("/short ")) { Ok(()) } else { Err(format!("{reported:?}")) }
    })
    .await;
    test.merge("configmaps", "long", "somebody", &json!({"metadata": {"finalizers": null}})).await;
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_when_the_managed_resource_is_deleted() {
    let test = Test::shared("finalize").await;
    test.declare("mr", &blocked(&test, "a", "1s")).await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("configmaps", "a").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_that_cannot_be_read_is_named_and_removes_nothing() {
    let test = Test::shared("finalize").await;
    test.declare("mr", &[blocked(&test, "a", "1d"), test.config_map("b", "one")].concat()).await;
    let why = "time: unknown unit \"d\" in duration \"1d\"";
    test.message("mr", "ApplySucceeded", &[&format!("annotation {AFTER}: {why}")]).await;
    test.secret("mr", &test.config_map("b", "two")).await;
    let expected = format!("is still pending: failed parsing duration of {AFTER} annotation: {why}");
    test.message("mr", "DeletionPending", &["/a\"", &expected]).await;
    test.has("configmaps", "b", "/data/k", "two").await;
    assert!(test.get("configmaps", "a").await.is_some());
    test.merge("configmaps", "a", "somebody", &json!({"metadata": {"finalizers": null}})).await;
    test.applied("mr").await;
}

/// Whoever may annotate an object must not be able to have its finalizers removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_period_that_others_have_set_removes_nothing() {
    let test = Test::shared("finalize").await;
    let manifest = test.config_map("a", "one").with_metadata("finalizers: [example.com/hold]");
    test.declare("mr", &[manifest, test.config_map("b", "one")].concat()).mode("Off").await;
    test.alice.does(&format!("annotate configmap a {AFTER}=1s")).await;
    test.secret("mr", &test.config_map("b", "two")).await;
    test.message("mr", "DeletionPending", &["/a"]).await;
    // Longer than the period and two looks.
    nothing_happens_for(std::time::Duration::from_secs(12), "its finalizers are removed").await;
    assert!(test.get("configmaps", "a").await.is_some());
    test.merge("configmaps", "a", "somebody", &json!({"metadata": {"finalizers": null}})).await;
    test.applied("mr").await;
}

/// A namespace hangs on finalizers of its specification, which nobody but its subresource can remove.
#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_finalized_too() {
    let test = Test::shared("outer").await;
    let inner = Test::within(test.cluster.clone(), &format!("inner-{}", test.ns));
    let namespace = format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {}, annotations: {{{AFTER}: 2s}}}}}}\n---\n",
        inner.ns
    );
    test.declare("mr", &[namespace, test.config_map("b", "one")].concat()).await;
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    inner.create("configmaps", &body).await;
    test.redeclare("mr", &test.config_map("b", "two")).await;
    assert!(test.get("namespaces", &inner.ns).await.is_none());
}
