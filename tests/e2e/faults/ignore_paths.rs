//! `ignorePaths` where no webhook looks at a ManagedResource, and over restarts.
use std::time::Duration;

use serde_json::{Value, json};

use super::Stage;
use crate::harness::nothing_happens_for;

/// For a write that should not come.
const QUIET: Duration = Duration::from_secs(2);

async fn paths(stage: &Stage, paths: Value) {
    stage.test.mr("mr", &["mr"], json!({"class": stage.class, "protection": {"ignorePaths": paths}})).await;
}

/// Nothing is done until it is mended, so that what the path was to leave to others is not reset.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_path_is_told_and_nothing_is_reset() {
    let stage = Stage::set("bad-path", &[]).await;
    let test = &stage.test;
    let both = [test.config_map("a", "one"), test.config_map("b", "one")].concat();
    test.secret("mr", &both).await;
    stage.replica.start();
    paths(&stage, json!([{"path": "/data/k", "name": "a"}])).await;
    test.applied("mr").await;
    test.alice.does(r#"patch configmap a -p {"data":{"k":"theirs"}}"#).await;

    paths(&stage, json!([{"path": "/data/k", "name": "a"}, {"path": "/data//k"}])).await;
    let why = r#"spec.protection.ignorePaths[1]: "/data//k": a part of it is empty"#;
    test.message("mr", "ApplyFailed", &[why]).await;
    test.eventually("an Event", || async {
        let notes = test.events("ApplyFailed").await;
        if notes.iter().any(|note| note.contains(why)) { Ok(()) } else { Err(format!("{notes:?}")) }
    })
    .await;
    // Another ManagedResource is none of its business.
    test.declare("other", &test.config_map("c", "one")).class(&stage.class).await;
    test.has("configmaps", "a", "/data/k", "theirs").await;

    paths(&stage, json!([{"path": "/data/k", "name": "a"}])).await;
    test.applied("mr").await;
    test.has("configmaps", "a", "/data/k", "theirs").await;
    test.alice.does(r#"patch configmap b -p {"data":{"k":"theirs"}}"#).await;
    test.has("configmaps", "b", "/data/k", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_sets_no_ignored_field() {
    let stage = Stage::set("ignored-restart", &[]).await;
    let test = &stage.test;
    let map = test.config_map("a", "one").replace("\ndata:\n", "\ndata:\n  free: mine\n");
    test.secret("mr", &[map, test.deployment("web")].concat()).await;
    stage.replica.start();
    paths(&stage, json!([{"path": "/data/free"}, {"path": "/spec/template/spec/containers[name=main]/image"}])).await;
    test.applied("mr").await;
    test.alice.does(r#"patch configmap a -p {"data":{"free":"theirs"}}"#).await;
    test.alice.does("set image deployment/web main=theirs").await;
    nothing_happens_for(QUIET, "the ignored fields are repaired").await;
    let versions = || async {
        let [map, web] = [test.get("configmaps", "a").await.unwrap(), test.get("deployments", "web").await.unwrap()];
        json!([map["metadata"]["resourceVersion"], map["data"], web["metadata"]["generation"], web["spec"]])
    };
    let before = versions().await;
    // Whoever was the last to write is not remembered while the controller is away.
    stage.replica.signal(rustix::process::Signal::KILL);
    stage.replica.ended_at_last().await;
    test.alice.does(r#"patch configmap a -p {"data":{"free":"again"}}"#).await;
    stage.replica.start();
    test.resync("mr").await;
    let after = versions().await;
    assert_eq!((&after[1], &after[2], &after[3]), (&json!({"k": "one", "free": "again"}), &before[2], &before[3]));
    assert!(test.events("Repaired").await.is_empty());
}
