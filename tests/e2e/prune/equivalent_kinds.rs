//! Objects that are declared as another kind, such as one of another group.
use serde_json::json;

use crate::harness::Test;

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
