//! Objects that change hands: left to others, or declared as another kind.
use serde_json::{Value, json};

use crate::harness::Test;

const MODE: &str = "metadata:\n  annotations: {resources.gardener.cloud/mode: Ignore}\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_marks_of_a_released_object_come_off() {
    let test = Test::shared("released").await;
    let both = |value: &str| [test.config_map("a", value), test.config_map("b", value)].concat();
    test.declare("mr", &both("one")).with("injectLabels", json!({"team": "blue"})).await;
    let uid = test.uid("configmaps", "a").await;
    test.redeclare("mr", &both("two").replacen("metadata:\n", MODE, 1)).await;
    let object = test.get("configmaps", "a").await.unwrap();
    let metadata = &object["metadata"];
    assert_eq!(metadata["uid"], uid.as_str());
    for mark in ["origin", "description", "mode"] {
        assert_eq!(metadata["annotations"][format!("resources.gardener.cloud/{mark}")], Value::Null, "{metadata}");
    }
    let labels = &metadata["labels"];
    assert_eq!(labels["resources.gardener.cloud/protection"], Value::Null, "nothing watches or protects it: {labels}");
    assert_eq!((&labels["team"], &labels["resources.gardener.cloud/managed-by"]), (&json!("blue"), &json!("gardener")));
    assert_eq!(object["data"]["k"], "one", "nothing else changes");
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 1, "{mr}");
    assert!(test.events("Released").await[0].contains(&format!("ConfigMap {}/a", test.ns)));

    // Another one may take it, and it is never deleted meanwhile.
    test.declare("next", &test.config_map("a", "three")).await;
    test.has("configmaps", "a", "/data/k", "three").await;
    assert_eq!(test.uid("configmaps", "a").await, uid);
    test.redeclare("mr", &both("four").replacen("metadata:\n", MODE, 1)).await;
    let origin = "/metadata/annotations/resources.gardener.cloud~1origin";
    test.has("configmaps", "a", origin, format!("{}/next", test.ns)).await;
    test.has("configmaps", "a", "/data/k", "three").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_the_origin_of_another_is_dropped_and_not_touched() {
    let test = Test::shared("released").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat())
        .mode("Off")
        .repair("Resync")
        .await;
    let moved = json!({"metadata": {"annotations": {"resources.gardener.cloud/origin": "elsewhere/other"}}});
    test.merge("configmaps", "a", "gardener-resource-manager", &moved).await;
    let ignored = test.config_map("a", "two").replace("metadata:\n", MODE);
    test.redeclare("mr", &[ignored, test.config_map("b", "two")].concat()).await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(object["metadata"]["annotations"]["resources.gardener.cloud/origin"], "elsewhere/other");
    assert!(object["metadata"]["annotations"]["resources.gardener.cloud/description"].is_string(), "{object}");
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 1, "{mr}");
}

/// An Event is the same object in two groups.
fn event(test: &Test, group: &str) -> String {
    let (version, object, message, reporter) = match group {
        "" => ("v1", "involvedObject", "message", "reportingComponent"),
        _ => ("events.k8s.io/v1", "regarding", "note", "reportingController"),
    };
    json!({
        "apiVersion": version, "kind": "Event", "metadata": {"name": "e", "namespace": test.ns},
        object: {"apiVersion": "v1", "kind": "ConfigMap", "namespace": test.ns, "name": "x"},
        "reason": "Tested", message: "hello", "type": "Normal", "action": "Test",
        "eventTime": "2026-01-01T00:00:00.000000Z", reporter: "example.com/test", "reportingInstance": "test",
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_as_an_equivalent_kind_is_not_deleted() {
    for (is_equivalent, topic) in [(true, "equivalent"), (false, "different")] {
        let test = Test::shared(topic).await;
        let kind = |group: &str| json!({"group": group, "kind": "Event"});
        let lists = if is_equivalent { json!([[kind(""), kind("events.k8s.io")]]) } else { json!([]) };
        let with = |group: &str| [event(&test, group), test.config_map("a", "one")].join("\n---\n");
        test.declare("mr", &with("")).with("equivalences", lists).await;
        let uid = test.uid("events", "e").await;
        test.redeclare("mr", &with("events.k8s.io")).await;
        test.eventually("the Event to be there", || async {
            let event = test.try_get("events", "e").await?.ok_or("there is none")?;
            let is_same = event["metadata"]["uid"] == uid.as_str();
            if is_same == is_equivalent { Ok(()) } else { Err(event.to_string()) }
        })
        .await;
        let mr = test.get("managedresources", "mr").await.unwrap();
        let kinds: Vec<_> =
            mr["status"]["resources"].as_array().unwrap().iter().map(|r| r["apiVersion"].clone()).collect();
        assert_eq!(kinds, ["v1", "events.k8s.io/v1"], "{mr}");
    }
}
