//! Objects that `mode: Ignore` takes out of our hands.
use serde_json::{Value, json};

use crate::harness::Test;

fn released(test: &Test, name: &str) -> String {
    test.config_map(name, "other")
        .replace("metadata:\n", "metadata:\n  annotations: {resources.gardener.cloud/mode: Ignore}\n")
}

fn managers(object: &Value) -> Vec<&str> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries.filter_map(|entry| entry["manager"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_object_stays_and_carries_nothing_of_ours() {
    let test = Test::shared("orphan").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    let uid = test.uid("configmaps", "a").await;
    test.alice.does("annotate configmap a team=blue").await;
    test.redeclare("mr", &[released(&test, "a"), released(&test, "never"), test.config_map("b", "two")].concat()).await;

    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(object["metadata"]["annotations"], json!({"team": "blue"}));
    assert_eq!(object["metadata"]["labels"], json!({"resources.gardener.cloud/managed-by": "gardener"}));
    assert_eq!((&object["data"]["k"], managers(&object)), (&json!("one"), vec!["kubectl-annotate"]));
    assert!(test.get("configmaps", "never").await.is_none(), "it is not created");
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 1);

    // It is nobody's.
    test.alice.does(r#"patch configmap a -p {"data":{"k":"mine"}}"#).await;
    test.redeclare("mr", &test.config_map("b", "three")).await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!((object["metadata"]["uid"].as_str(), &object["data"]["k"]), (Some(uid.as_str()), &json!("mine")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_moves_to_another_managed_resource_without_being_deleted() {
    let test = Test::shared("orphan").await;
    test.declare("one", &test.config_map("a", "one")).await;
    let uid = test.uid("configmaps", "a").await;
    test.declare("two", &test.config_map("a", "two")).write().await;
    test.message("two", "ApplyFailed", &["is held by ManagedResource"]).await;
    test.redeclare("one", &released(&test, "a")).await;
    test.applied("two").await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.alice.does("delete managedresource one --timeout=45s").await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(object["metadata"]["uid"], uid.as_str());
    assert_eq!(object["metadata"]["annotations"]["resources.gardener.cloud/origin"], format!("{}/two", test.ns));
    let refused = test.alice.run(r#"patch configmap a -p {"data":{"k":"x"}}"#).await.refusal().unwrap();
    assert!(refused.contains(&format!("is managed by ManagedResource {}/two", test.ns)), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_another_origin_is_not_touched() {
    let test = Test::shared("orphan").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    test.alice.does("annotate managedresource mr resources.gardener.cloud/ignore=true").await;
    test.reason("mr", "ManagedResourceIgnored").await;
    // The webhook may still believe that it is held.
    let taken = json!({"metadata": {"annotations": {"resources.gardener.cloud/origin": "some/where"}}});
    let taken = test
        .eventually("the pause to be known", || async {
            let output = test.alice.with(&["patch", "configmap", "a", "-p", &taken.to_string()]).await;
            output.success().map_err(|error| error.to_string())?;
            test.try_get("configmaps", "a").await?.ok_or_else(|| "it is gone".to_owned())
        })
        .await;
    test.secret("mr", &[released(&test, "a"), test.config_map("b", "two")].concat()).await;
    test.alice.does("annotate managedresource mr resources.gardener.cloud/ignore-").await;
    test.has("configmaps", "b", "/data/k", "two").await;
    test.applied("mr").await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(object["metadata"]["resourceVersion"], taken["metadata"]["resourceVersion"], "{object}");
}
