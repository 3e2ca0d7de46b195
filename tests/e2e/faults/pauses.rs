//! Pauses that the controller does not see begin or end, because it is not there.
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Stage;
use crate::harness::{PROTECTION, nothing_happens_for};

fn pause(name: &str, seconds: i64) -> Value {
    let until = Timestamp::now() + SignedDuration::from_secs(seconds);
    json!({"kind": "ConfigMap", "name": name, "until": until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()})
}

async fn set(stage: &Stage, pauses: Value) {
    let patch = json!({"spec": {"protection": {"pauses": pauses}}});
    stage.test.merge("managedresources", "mr", "e2e", &patch).await;
}

async fn edit(stage: &Stage, name: &str, value: &str) {
    stage.test.merge("configmaps", name, "person", &json!({"data": {"k": value}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_neither_ends_a_pause_nor_misses_its_end() {
    let stage = Stage::set("pauses", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    stage
        .submit("mr", &[test.config_map("a", "one"), test.config_map("b", "one"), test.config_map("c", "one")].concat())
        .await;
    test.applied("mr").await;
    set(&stage, json!([pause("a", 3600), pause("c", 3600)])).await;
    test.has("configmaps", "a", PROTECTION, "off").await;
    edit(&stage, "a", "mine").await;
    test.delete("configmaps", "c").await;

    stage.replica.kill().await;
    let version = test.get("configmaps", "a").await.unwrap()["metadata"]["resourceVersion"].clone();
    edit(&stage, "b", "mine").await;
    stage.replica.start();
    test.has("configmaps", "b", "/data/k", "one").await;
    nothing_happens_for(Duration::from_secs(1), "the pause ends").await;
    let paused = test.get("configmaps", "a").await.unwrap();
    assert_eq!(paused["metadata"]["resourceVersion"], version, "it goes on");
    assert!(test.get("configmaps", "c").await.is_none());

    // Ends while the controller is away.
    stage.replica.kill().await;
    set(&stage, json!([pause("a", 1), pause("c", 1)])).await;
    nothing_happens_for(Duration::from_secs(2), "the edit is undone").await;
    assert_eq!(test.get("configmaps", "a").await.unwrap()["data"]["k"], "mine");
    stage.replica.start();
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("configmaps", "a", PROTECTION, "deny").await;
    test.has("configmaps", "c", "/data/k", "one").await;

    // Begins while it is away.
    stage.replica.kill().await;
    set(&stage, json!([pause("a", 3600)])).await;
    edit(&stage, "a", "mine").await;
    edit(&stage, "b", "mine").await;
    stage.replica.start();
    test.has("configmaps", "b", "/data/k", "one").await;
    test.has("configmaps", "a", PROTECTION, "off").await;
    assert_eq!(test.get("configmaps", "a").await.unwrap()["data"]["k"], "mine");
    set(&stage, Value::Null).await;
    test.has("configmaps", "a", "/data/k", "one").await;
}

/// Without a webhook that refuses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_cannot_be_read_has_no_effect_and_is_named() {
    let stage = Stage::set("pauses", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    stage.submit("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    test.applied("mr").await;
    set(&stage, json!([{"name": "a", "until": "2100-01-01T00:00:00+99:00"}, pause("b", 3600)])).await;
    let parts = ["spec.protection.pauses[0].until", "is no time", "ConfigMap */b is paused until"];
    test.message("mr", "ApplySucceeded", &parts).await;
    test.has("configmaps", "b", PROTECTION, "off").await;
    edit(&stage, "b", "mine").await;
    let before = test.get("configmaps", "a").await.unwrap()["metadata"]["resourceVersion"].clone();
    edit(&stage, "a", "mine").await;
    test.has("configmaps", "a", "/data/k", "one").await;
    assert_ne!(test.get("configmaps", "a").await.unwrap()["metadata"]["resourceVersion"], before);
    assert_eq!(test.get("configmaps", "b").await.unwrap()["data"]["k"], "mine", "the other is obeyed");
}

/// Objects are marked by a patch of one label; nothing else is written, also when they are marked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_one_label() {
    let stage = Stage::set("pauses", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    stage.submit("mr", &test.config_map("a", "one")).await;
    test.applied("mr").await;
    let before = test.get("configmaps", "a").await.unwrap();
    set(&stage, json!([{"until": "2100-01-01T00:00:00Z"}])).await;
    test.has("configmaps", "a", PROTECTION, "off").await;
    let after = test.get("configmaps", "a").await.unwrap();
    assert_eq!((&after["data"], &after["metadata"]["uid"]), (&before["data"], &before["metadata"]["uid"]));
    assert_eq!(after["metadata"]["annotations"], before["metadata"]["annotations"]);
    let fields = after["metadata"]["managedFields"].as_array().unwrap();
    let entries: Vec<_> = fields.iter().filter(|entry| entry["manager"] == "holdfast-pause").collect();
    assert_eq!(entries.len(), 1);
    let label = json!({"f:metadata": {"f:labels": {"f:resources.gardener.cloud/protection": {}}}});
    assert_eq!(entries[0]["fieldsV1"], label, "{entries:?}");
    // Somebody sets it back.
    test.merge(
        "configmaps",
        "a",
        "person",
        &json!({"metadata": {"labels": {"resources.gardener.cloud/protection": "deny"}}}),
    )
    .await;
    test.has("configmaps", "a", PROTECTION, "off").await;
    set(&stage, Value::Null).await;
    test.has("configmaps", "a", PROTECTION, "deny").await;
}
