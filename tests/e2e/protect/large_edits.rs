//! Large edits, many at a time: size is no way around.
use futures::future::join_all;
use serde_json::json;

use crate::harness::Test;

/// At a time.
const EDITS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_padded_edit_is_refused_like_any_other() {
    let test = Test::shared("padded").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let before = test.get("configmaps", "a").await.unwrap()["metadata"]["resourceVersion"].clone();
    // As much as an object may be, nearly.
    let padding = "x".repeat(1_000_000);
    let edit = |number: usize| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
            "data": {"k": "theirs", "padding": format!("{number}{padding}")}})
    };
    let edits: Vec<_> = (0..EDITS).map(edit).collect();
    for answer in join_all(edits.iter().map(|edit| test.try_apply_as("thief", "configmaps", edit))).await {
        match answer {
            Err(kube::Error::Api(status)) if status.message.contains("is managed by") => {}
            other => panic!("{:.300}", format!("{other:?}")),
        }
    }
    assert_eq!(test.get("configmaps", "a").await.unwrap()["metadata"]["resourceVersion"], before);
}
