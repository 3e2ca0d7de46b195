//! Rules of single objects when something goes wrong between two requests.
use holdfast_e2e::fault_proxy::{Fault, Request, Rule};
use http::Method;
use serde_json::{Value, json};

use super::Stage;

use crate::harness::Manifest as _;

fn annotated(stage: &Stage, name: &str, value: &str, annotation: &str) -> String {
    stage.test.config_map(name, value).with_metadata(&format!("annotations: {{resources.gardener.cloud/{annotation}}}"))
}

/// What is deleted to be created again is in the inventory meanwhile, so whoever leads next creates it.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_deletion_and_creation_loses_nothing() {
    let stage = Stage::set("replaced", &[]).await;
    let test = &stage.test;
    let frozen =
        |value: &str| test.config_map("frozen", value).replace("kind: ConfigMap", "kind: ConfigMap\nimmutable: true");
    stage.replica.start();
    stage.submit("mr", &frozen("zero")).await;
    test.applied("mr").await;
    for (fault, value) in [(Fault::CutBefore, "one"), (Fault::CutAfter, "two")] {
        let uid = test.uid("configmaps", "frozen").await;
        let deletion = |request: &Request| request.method == Method::DELETE && request.path.ends_with("/frozen");
        let is_deleted = fault == Fault::CutAfter;
        stage.proxy.add(Rule::new(fault, deletion).nth(1).hook(stage.killing()));
        test.secret("mr", &frozen(value)).await;
        stage.replica.ended().await;
        stage.proxy.settled().await.unwrap();
        stage.proxy.clear();
        assert_eq!(test.get("configmaps", "frozen").await.is_none(), is_deleted);
        let mr = test.get("managedresources", "mr").await.unwrap();
        assert_eq!(mr["status"]["resources"][0]["name"], "frozen");
        stage.replica.start();
        test.has("configmaps", "frozen", "/data/k", value).await;
        test.applied("mr").await;
        assert_ne!(test.uid("configmaps", "frozen").await, uid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_released_is_named_and_tried_again() {
    let stage = Stage::set("unreleased", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    stage.submit("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    test.applied("mr").await;
    let patches = |request: &Request| request.method == Method::PATCH && request.path.ends_with("/configmaps/a");
    stage.proxy.add(Rule::new(Fault::Answer { code: 403, retry_after: None }, patches));
    test.secret("mr", &[annotated(&stage, "a", "two", "mode: Ignore"), test.config_map("b", "two")].concat()).await;
    let object = format!("Could not release all orphaned resources: ConfigMap {}/a: ", test.ns);
    test.message("mr", "ReleaseOfOrphanedResourcesFailed", &[&object]).await;
    test.has("configmaps", "b", "/data/k", "two").await;
    let resources =
        async || test.get("managedresources", "mr").await.unwrap()["status"]["resources"].as_array().unwrap().len();
    assert_eq!(resources().await, 2, "it is not forgotten");
    stage.proxy.clear();
    test.applied("mr").await;
    assert_eq!(resources().await, 1);
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!((&object["metadata"]["annotations"], &object["data"]["k"]), (&Value::Null, &json!("one")));
}

/// What is only to be there is remembered over a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_touch_what_is_only_to_be_there() {
    let stage = Stage::set("remembered", &[]).await;
    let test = &stage.test;
    let manifests = [
        annotated(&stage, "ignored", "one", "ignore: 'true'"),
        annotated(&stage, "ensured", "one", "mode: EnsureExists"),
        annotated(&stage, "deleted", "one", "mode: EnsureExists"),
    ];
    stage.replica.start();
    stage.submit("mr", &manifests.concat()).await;
    test.applied("mr").await;
    stage.replica.kill().await;
    for name in ["ignored", "ensured"] {
        test.merge("configmaps", name, "somebody", &json!({"data": {"k": "mine"}})).await;
    }
    test.delete("configmaps", "deleted").await;
    stage.proxy.forget();
    stage.replica.start();
    test.has("configmaps", "deleted", "/data/k", "one").await;
    let entries = stage.proxy.entries();
    let of_those = |request: &Request| request.path.ends_with("/ignored") || request.path.ends_with("/ensured");
    let written: Vec<_> =
        entries.iter().map(|entry| &entry.request).filter(|request| request.is_write() && of_those(request)).collect();
    assert!(written.is_empty(), "{written:#?}");
    for name in ["ignored", "ensured"] {
        assert_eq!(test.get("configmaps", name).await.unwrap()["data"]["k"], "mine");
    }
}
