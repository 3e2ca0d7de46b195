//! What was done while the controller did not look: stopped for a while, or dead. Its watches show only what came of it,
//! and after a restart only the inventory knows what was there before.
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{PROTECTION, Test};

const NAMES: [&str; 9] =
    ["edited", "restored", "stripped", "cleared", "emptied", "deleted", "replaced", "added", "untouched"];

fn set(test: &Test, name: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: {name}, namespace: {}, labels: {{tier: one}}}}, spec: {{replicas: 0, \
         selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: main, image: postgres}}]}}}}}}}}\n---\n",
        test.ns
    )
}

/// An edit, and then the old `managedFields` put back: they look as if nothing had happened.
async fn edit_and_restore(test: &Test, resource: &str, name: &str, edit: &Value) {
    let before = test.get(resource, name).await.unwrap();
    test.merge(resource, name, "x", edit).await;
    test.merge(resource, name, "x", &json!({"metadata": {"managedFields": before["metadata"]["managedFields"]}})).await;
    let after = test.get(resource, name).await.unwrap();
    // The status is written by its controller when it likes.
    let of_content = |object: &Value| -> Vec<Value> {
        let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        entries.into_iter().filter(|entry| entry["subresource"] != "status").collect()
    };
    assert_eq!(of_content(&after), of_content(&before), "the forgery is perfect");
}

/// Something else for each object; and as nobody repairs at the moment, all of it succeeds.
async fn forge(test: &Test) {
    let edit = json!({"data": {"k": "x"}});
    test.merge("configmaps", "edited", "x", &edit).await;
    edit_and_restore(test, "configmaps", "restored", &edit).await;
    test.merge("configmaps", "stripped", "x", &json!({"metadata": {"labels": null}, "data": {"k": "x", "extra": "x"}}))
        .await;
    test.merge("configmaps", "cleared", "x", &json!({"metadata": {"managedFields": [{}]}})).await;
    test.merge(
        "configmaps",
        "emptied",
        "x",
        &json!({"metadata": {"managedFields": [{}]}, "data": {"k": "x", "extra": "x"}}),
    )
    .await;
    test.delete("configmaps", "deleted").await;
    let mut twin = test.get("configmaps", "replaced").await.unwrap();
    test.delete("configmaps", "replaced").await;
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        twin["metadata"].as_object_mut().unwrap().remove(field);
    }
    twin["data"]["k"] = "x".into();
    test.create("configmaps", &twin).await;
    test.merge("configmaps", "added", "kubelet", &json!({"data": {"extra": "x"}})).await;

    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "x"}]}}}});
    edit_and_restore(test, "statefulsets", "restored", &image).await;
    edit_and_restore(test, "statefulsets", "relabelled", &json!({"metadata": {"labels": {"tier": "x"}}})).await;
}

async fn all_is_right(test: &Test) {
    for name in NAMES {
        test.has("configmaps", name, "/data", json!({"k": "one"})).await;
        test.has("configmaps", name, PROTECTION, "off").await;
        test.eventually(&format!("{name} to be ours"), || async {
            let object = test.try_get("configmaps", name).await?.ok_or("it is not there")?;
            let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
            let is_ours = |entry: &Value| entry["manager"] == "holdfast" && entry["operation"] == "Apply";
            if entries.iter().any(is_ours) { Ok(()) } else { Err(format!("{entries:?}")) }
        })
        .await;
    }
    test.has("statefulsets", "restored", "/spec/template/spec/containers/0/image", "postgres").await;
}

/// Of a StatefulSet the generation tells, and labels do not move it: a label whose edit leaves no trace is found by the
/// resync alone.
async fn the_resync_finds_the_rest(test: &Test) {
    test.alice.does("annotate managedresource mr gardener.cloud/operation=reconcile").await;
    test.has("statefulsets", "relabelled", "/metadata/labels/tier", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_meanwhile_is_put_right() {
    let test = Test::own("unwatched").await;
    let mut manifests: String = NAMES.iter().map(|name| test.config_map(name, "one")).collect();
    manifests.push_str(&[set(&test, "restored"), set(&test, "relabelled")].concat());
    test.declare("mr", &manifests).mode("Off").await;
    let untouched = test.get("configmaps", "untouched").await.unwrap();

    // Stopped and continued: the watches go on where they were.
    let controller = test.cluster.controller().unwrap();
    controller.signal(Signal::STOP).unwrap();
    forge(&test).await;
    controller.signal(Signal::CONT).unwrap();
    all_is_right(&test).await;
    the_resync_finds_the_rest(&test).await;
    test.applied("mr").await;

    // Killed: the next one lists, and compares with the inventory. That is written down when it is quiet.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let controller = test.cluster.controller().unwrap();
    controller.signal(Signal::STOP).unwrap();
    forge(&test).await;
    controller.signal(Signal::KILL).unwrap();
    all_is_right(&test).await;
    the_resync_finds_the_rest(&test).await;
    test.applied("mr").await;
    let now = test.get("configmaps", "untouched").await.unwrap();
    assert_eq!(
        now["metadata"]["resourceVersion"], untouched["metadata"]["resourceVersion"],
        "nothing is written to it"
    );
}
