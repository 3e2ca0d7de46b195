//! Break-glass: `resources.gardener.cloud/ignore`, and classes of others.
use std::time::Duration;

use serde_json::json;

use crate::harness::{IGNORE, Test, nothing_happens_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_managed_resource_lets_go_and_takes_hold_again() {
    let test = Test::shared("pause").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one"), test.deployment("web")].concat())
        .await;
    test.alice.does(&format!("annotate managedresource mr {IGNORE}=true")).await;
    test.reason("mr", "ManagedResourceIgnored").await;

    // Both replicas of the webhook learn of it by a watch.
    test.eventually("an edit to pass", || async {
        let output = test.alice.with(&["patch", "configmap", "a", "-p", r#"{"data":{"k":"mine"}}"#]).await;
        output.success().map_err(|error| error.to_string())
    })
    .await;
    test.alice.does("delete configmap b").await;
    test.alice.does("scale deployment web --replicas=3").await;
    test.secret("mr", &[test.config_map("a", "two"), test.config_map("b", "one"), test.deployment("web")].concat())
        .await;
    nothing_happens_for(Duration::from_secs(2), "anything is repaired, updated or created").await;
    assert_eq!(test.get("configmaps", "a").await.unwrap()["data"]["k"], "mine", "nothing is repaired or updated");
    assert!(test.get("configmaps", "b").await.is_none(), "nothing is created");
    assert_eq!(test.get("deployments", "web").await.unwrap()["spec"]["replicas"], 3);

    test.alice.does(&format!("annotate managedresource mr {IGNORE}-")).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.has("configmaps", "b", "/data/k", "one").await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
    test.applied("mr").await;
    test.eventually("edits to be refused again", || async {
        let output = test.alice.with(&["patch", "configmap", "a", "-p", r#"{"data":{"k":"two","extra":null}}"#]).await;
        output.success().map_err(|error| error.to_string())?;
        let output = test.alice.with(&["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#]).await;
        output.refusal().map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_resource_with_the_annotation_can_be_deleted() {
    let test = Test::shared("pause").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    test.alice.does(&format!("annotate managedresource mr {IGNORE}=true")).await;
    test.reason("mr", "ManagedResourceIgnored").await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("configmaps", "a").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_resource_of_another_class_is_left_alone() {
    let test = Test::shared("class").await;
    test.declare("mr", &test.config_map("a", "one")).class("seed").write().await;
    test.declare("ours", &test.config_map("b", "one")).await;
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!((&mr["status"], &mr["metadata"]["finalizers"]), (&json!(null), &json!(null)));
    assert!(test.get("configmaps", "a").await.is_none());
}
