//! With the webhook stopped: edits pass and are undone; what got in meanwhile is dealt with when it is back.
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{PROTECTION, SYSTEM, Test, WEBHOOK, printed, within};

/// From an edit to its end, on a busy machine.
const REPAIR: Duration = Duration::from_secs(5);

async fn scale(test: &Test, replicas: usize) {
    test.admin
        .does(&format!("scale deployment {WEBHOOK} --replicas={replicas} --namespace={SYSTEM} -n {SYSTEM}"))
        .await;
    test.eventually(&format!("{replicas} ready pods of the webhook"), || async {
        let pods = test.cluster.player.pods_of(WEBHOOK);
        let ready = pods.iter().filter(|pod| pod.ready).count();
        if pods.len() == replicas && ready == replicas {
            Ok(())
        } else {
            Err(format!("{ready} of {} are ready", pods.len()))
        }
    })
    .await;
}

/// Does something, and waits until a field has its value again.
async fn undone(test: &Test, name: &str, command: &str, pointer: &str, expected: Value) {
    let before = test.get("configmaps", name).await.unwrap()["metadata"]["resourceVersion"].clone();
    test.alice.does(command).await;
    let begin = Instant::now();
    let what = format!("{pointer} of {name} to be {expected} again after: {command}");
    within(REPAIR, &what, || async {
        let object = test.try_get("configmaps", name).await?.ok_or("it is not there")?;
        if object["metadata"]["resourceVersion"] == before {
            return Err("nothing has changed".to_owned());
        }
        if object.pointer(pointer).unwrap_or(&Value::Null) == &expected { Ok(()) } else { Err(object.to_string()) }
    })
    .await;
    eprintln!("undone at most {} ms after kubectl ended: {command}", begin.elapsed().as_millis());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_holds_the_line_alone() {
    let test = Test::own("down").await;
    let label = PROTECTION;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one"), test.deployment("web")].concat())
        .await;
    scale(&test, 0).await;

    // Not all of one object: more than five repairs in a minute are a fight, and slowed down.
    undone(&test, "b", r#"patch configmap b -p {"data":{"k":"x"}}"#, "/data/k", json!("one")).await;
    undone(
        &test,
        "b",
        r#"patch configmap b --type=json -p [{"op":"remove","path":"/data/k"}]"#,
        "/data/k",
        json!("one"),
    )
    .await;
    undone(&test, "b", "label configmap b resources.gardener.cloud/protection-", label, json!("deny")).await;
    undone(&test, "a", "label configmap a resources.gardener.cloud/protection=off --overwrite", label, json!("deny"))
        .await;
    undone(&test, "a", "delete configmap a", "/data/k", json!("one")).await;
    undone(
        &test,
        "a",
        r#"patch configmap a --type=merge -p {"metadata":{"managedFields":[{}]},"data":{"k":"y"}}"#,
        "/data/k",
        json!("one"),
    )
    .await;
    // Stripped and changed at once, so that no watch sees the change itself.
    let both = r#"patch configmap a --type=merge -p {"metadata":{"labels":null,"annotations":null},"data":{"k":"z"}}"#;
    undone(&test, "a", both, "/data/k", json!("one")).await;
    test.has("configmaps", "a", label, "deny").await;
    // Somebody is quicker than we are and makes an object of the same name.
    let controller = test.cluster.controller().unwrap();
    controller.signal(Signal::STOP).unwrap();
    test.alice.does("delete configmap b").await;
    test.alice.send("create", &test.config_map("b", "theirs")).await.success().unwrap();
    controller.signal(Signal::CONT).unwrap();
    test.has("configmaps", "b", "/data/k", "one").await;
    test.has("configmaps", "b", label, "deny").await;
    test.alice.does("scale deployment web --replicas=5").await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
    test.applied("mr").await;
    let repaired = test.events("Repaired").await;
    assert!(!repaired.is_empty(), "repairs are told");

    undecodable_documents(&test).await;
}

/// A document that cannot be read gets in, is lived with, and is mended; with the webhook down, and back meanwhile.
async fn undecodable_documents(test: &Test) {
    let broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b\n---\n";
    let documents = [&test.config_map("a", "two"), broken].concat();
    let uid = test.uid("configmaps", "b").await;
    test.secret("mr", &documents).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    let place = format!("Secret {}/mr, key \"objects.yaml\", document 2, line ", test.ns);
    let managed = "Pruning is held back meanwhile: 2 objects";
    test.message("mr", "DecodingFailed", &[&place, managed]).await;
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 3);

    scale(test, 2).await;
    // What is about metadata passes although the content is bad, or nobody could pause or mend anything.
    test.alice.does("label secret mr touched=yes").await;
    test.alice.does("annotate managedresource mr touched=yes").await;
    let still_bad = json!({"stringData": {"more.yaml": "x: ["}}).to_string();
    let output = test.alice.with(&["patch", "secret", "mr", "-p", &still_bad]).await;
    assert!(!output.status.success() && output.stderr.contains(r#"key "more.yaml""#), "{}", printed(&output));
    assert!(output.stderr.contains(r#"key "objects.yaml", document 2"#), "{}", printed(&output));
    let output = test
        .alice
        .with(&["patch", "managedresource", "mr", "--type=merge", "-p", r#"{"spec":{"keepObjects":false}}"#])
        .await;
    assert!(!output.status.success() && output.stderr.contains("document 2"), "{}", printed(&output));
    let output = test.alice.with(&["patch", "configmap", "b", "-p", r#"{"data":{"k":"x"}}"#]).await;
    assert!(output.stderr.contains("is managed by"), "what cannot be read stays protected: {}", printed(&output));
    assert_eq!(test.uid("configmaps", "b").await, uid, "nothing was deleted");
    assert!(test.get("deployments", "web").await.is_some(), "nothing was deleted");

    test.redeclare("mr", &[test.config_map("a", "two"), test.config_map("b", "two")].concat()).await;
    test.has("configmaps", "b", "/data/k", "two").await;
    test.gone("deployments", "web").await;
}
