//! Objects with `mode: Ignore` are orphaned: our labels, annotations and field ownership come off.
use serde_json::{Value, json};

use crate::harness::{Manifest as _, Test, reported};

fn released(test: &Test, name: &str) -> String {
    test.config_map(name, "other").with_metadata("annotations: {resources.gardener.cloud/mode: Ignore}")
}

fn managers(object: &Value) -> Vec<&str> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries.filter_map(|entry| entry["manager"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_object_stays_and_carries_nothing_of_ours() {
    let test = Test::shared("orphan").await;
    let declared = ["a", "b", "taken"].map(|name| test.config_map(name, "one")).concat();
    test.declare("mr", &declared).with("injectLabels", json!({"team": "blue"})).await;
    let uids = [test.uid("configmaps", "a").await, test.uid("configmaps", "taken").await];
    test.alice.does("annotate configmap a team=blue").await;
    let released = ["a", "taken", "never"].map(|name| released(&test, name)).concat();
    test.redeclare("mr", &[&*released, &*test.config_map("b", "two")].concat()).await;

    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(object["metadata"]["annotations"], json!({"team": "blue"}));
    let labels = json!({"resources.gardener.cloud/managed-by": "gardener", "team": "blue"});
    assert_eq!(object["metadata"]["labels"], labels, "nothing watches or protects it");
    assert_eq!((&object["data"]["k"], managers(&object)), (&json!("one"), vec!["kubectl-annotate"]));
    assert_eq!(object["metadata"]["uid"], uids[0].as_str());
    assert!(test.get("configmaps", "never").await.is_none(), "it is not created");
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 1, "{mr}");
    reported(&test, "Released", &[&format!("ConfigMap {}/a", test.ns)]).await;

    // It is nobody's. Another ManagedResource may take it, and the first one leaves it alone.
    test.alice.does(r#"patch configmap a -p {"data":{"k":"mine"}}"#).await;
    test.declare("next", &test.config_map("taken", "three")).await;
    test.redeclare("mr", &[&*released, &*test.config_map("b", "three")].concat()).await;
    test.redeclare("mr", &test.config_map("b", "four")).await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    for (name, value, uid) in [("a", "mine", &uids[0]), ("taken", "three", &uids[1])] {
        let object = test.get("configmaps", name).await.unwrap();
        assert_eq!((object["metadata"]["uid"].as_str(), &object["data"]["k"]), (Some(uid.as_str()), &json!(value)));
    }
    let origin = "/metadata/annotations/resources.gardener.cloud~1origin";
    test.has("configmaps", "taken", origin, format!("{}/next", test.ns)).await;
    assert!(test.get("configmaps", "b").await.is_none());
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
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 1, "{mr}");
}
