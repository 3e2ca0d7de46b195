//! Fields that the manifest sets and that are left to others once they are there. What autoscalers have to do with it is in
//! `autoscalers.rs`, what restarts have to do with it in `faults/preserve.rs`.
mod templates;

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Manifest as _, Recorder, Test, may, nothing_happens_for};

/// For a write that should not come.
const QUIET: Duration = Duration::from_secs(2);

const REPLICAS: &str = "resources.gardener.cloud/preserve-replicas";
const MAIN: &str = "/spec/template/spec/containers/0";

/// A manifest with an annotation.
fn annotated(manifest: &str, annotation: &str, value: &str) -> String {
    manifest.with_metadata(&format!("annotations: {{{annotation}: {value:?}}}"))
}

/// A Deployment with its replicas preserved.
fn preserved(test: &Test, name: &str, replicas: usize) -> String {
    annotated(&test.deployment(name).replace("replicas: 2", &format!("replicas: {replicas}")), REPLICAS, "true")
}

/// The refusal names the replicas only where they are meant.
async fn edit_is_refused(test: &Test, args: &[&str], because: &str) {
    let refusal = test.alice.is_refused(args, &[because]).await;
    assert!(!refusal.contains("spec.replicas") || because.contains("replicas"), "{args:?}: {refusal}");
}

/// What moves with every write, and with nothing that controllers write into the status.
async fn written(test: &Test, resource: &str, name: &str) -> [Value; 3] {
    let object = test.get(resource, name).await.unwrap();
    let mut entries = object["metadata"]["managedFields"].clone();
    entries.as_array_mut().unwrap().retain(|entry| entry["subresource"] != "status");
    [object["metadata"]["generation"].clone(), object["spec"].clone(), entries]
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_left_where_the_manifest_says_so() {
    let test = Test::shared("replicas").await;
    test.declare("mr", &preserved(&test, "web", 2)).await;
    test.has("deployments", "web", "/spec/replicas", 2).await;

    may(&test, &["scale", "deployment", "web", "--replicas=5"]).await;
    test.has("deployments", "web", "/spec/replicas", 5).await;
    may(&test, &["scale", "deployment", "web", "--replicas=4"]).await;
    may(&test, &["patch", "deployment", "web", "-p", r#"{"spec":{"replicas":6}}"#]).await;
    let image = r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"x"}]}}}}"#;
    edit_is_refused(&test, &["patch", "deployment", "web", "-p", image], "image").await;
    let both = r#"{"spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"main","image":"x"}]}}}}"#;
    edit_is_refused(&test, &["patch", "deployment", "web", "-p", both], "image").await;
    edit_is_refused(&test, &["annotate", "deployment", "web", &format!("{REPLICAS}-")], REPLICAS).await;

    // Another number in the Secret is no change; nor does a resync write anything.
    test.has("deployments", "web", "/status/replicas", 6).await;
    let before = written(&test, "deployments", "web").await;
    let mut writes = test.writes();
    test.redeclare("mr", &preserved(&test, "web", 9)).await;
    writes.none_for(QUIET, "the number of replicas is written").await;
    let version = test.get("deployments", "web").await.unwrap()["metadata"]["resourceVersion"].clone();
    test.resync("mr").await;
    assert!(!writes.at_least(1).await.is_empty(), "it asks the server");
    assert_eq!(test.get("deployments", "web").await.unwrap()["metadata"]["resourceVersion"], version);
    assert_eq!(written(&test, "deployments", "web").await, before);
    assert!(test.events("Repaired").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_annotation_comes_and_goes() {
    let test = Test::shared("toggle").await;
    test.declare("mr", &test.deployment("web")).await;
    let recorder = Recorder::start(&test, "web").await;
    let scale = ["scale", "deployment", "web", "--replicas=5"];
    edit_is_refused(&test, &scale, "spec.replicas").await;

    // With another number at the same moment: what is there stays.
    test.redeclare("mr", &preserved(&test, "web", 3)).await;
    nothing_happens_for(QUIET, "the declared number is written").await;
    assert_eq!(recorder.seen(), [2]);
    may(&test, &scale).await;

    // Only `true` counts. The declared number comes at once, without another one before it.
    let other = annotated(&test.deployment("web").replace("replicas: 2", "replicas: 3"), REPLICAS, "True");
    test.redeclare("mr", &other).await;
    nothing_happens_for(QUIET, "another number is written").await;
    assert_eq!(recorder.seen(), [2, 5, 3]);
    test.eventually("scaling to be refused again", || async {
        let output = test.alice.with(&scale).await;
        // A replica of the webhook that does not know yet lets it pass, and the controller puts it right.
        output.refusal().map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
    test.has("deployments", "web", "/spec/replicas", 3).await;

    // And once more, without any number: the one that is there stays.
    test.redeclare("mr", &preserved(&test, "web", 3)).await;
    may(&test, &scale).await;
    test.redeclare("mr", &test.deployment("web").replace("  replicas: 2\n", "")).await;
    nothing_happens_for(QUIET, "the number is changed").await;
    test.has("deployments", "web", "/spec/replicas", 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_nobody_declares_are_left() {
    let test = Test::shared("undeclared").await;
    let (declared, none) = (test.deployment("web"), test.deployment("web").replace("  replicas: 2\n", ""));
    test.declare("mr", &declared.replace("replicas: 2", "replicas: 4")).await;
    let recorder = Recorder::start(&test, "web").await;
    // The manifest drops them: the number stays.
    test.redeclare("mr", &none).await;
    test.has("deployments", "web", "/spec/replicas", 4).await;
    may(&test, &["scale", "deployment", "web", "--replicas=6"]).await;
    test.resync("mr").await;
    nothing_happens_for(QUIET, "the declared number is written").await;
    test.has("deployments", "web", "/spec/replicas", 6).await;
    assert_eq!(recorder.seen(), [4, 6]);
    // And takes them up again.
    test.redeclare("mr", &declared).await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
}

/// What others write around it is put right, by patch and by adoption, and it is not touched.
#[tokio::test(flavor = "multi_thread")]
async fn other_fields_are_put_right_around_it() {
    let test = Test::shared("around").await;
    test.declare("mr", &[preserved(&test, "web", 2), preserved(&test, "gone", 2)].concat()).mode("Off").await;
    let containers = json!([{"name": "main", "image": "x"}, {"name": "spy", "image": "spy"}]);
    let edit = json!({"spec": {"replicas": 7, "paused": true, "template": {"spec": {"containers": containers}}}});
    test.strategic("deployments", "web", "kubectl-edit", &edit).await;
    test.has("deployments", "web", "/spec/template/spec/containers/1", Value::Null).await;
    test.has("deployments", "web", &format!("{MAIN}/image"), "nginx").await;
    test.has("deployments", "web", "/spec/paused", Value::Null).await;
    let image =
        json!({"spec": {"replicas": 8, "template": {"spec": {"containers": [{"name": "main", "image": "y"}]}}}});
    test.strategic("deployments", "web", "kubectl-edit", &image).await;
    test.has("deployments", "web", &format!("{MAIN}/image"), "nginx").await;
    nothing_happens_for(QUIET, "the number is repaired as well").await;
    test.has("deployments", "web", "/spec/replicas", 8).await;
    let reported = test.events("Repaired").await;
    assert!(reported.iter().any(|note| note.contains("image")), "{reported:?}");
    assert!(reported.iter().all(|note| !note.contains("replicas")), "it was not put right: {reported:?}");

    // Who owns what is cleared: the number stays.
    test.merge("deployments", "web", "x", &json!({"metadata": {"managedFields": [{}]}})).await;
    test.eventually("our entry to be back", || async {
        let object = test.try_get("deployments", "web").await?.ok_or("it is gone")?;
        let mut entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        if entries.any(|entry| entry["manager"] == "holdfast") { Ok(()) } else { Err(object["metadata"].to_string()) }
    })
    .await;
    test.has("deployments", "web", "/spec/replicas", 8).await;

    // A name is no excuse: what is not left alone is put right, whoever writes it.
    test.merge("deployments", "web", "holdfast-released", &json!({"spec": {"paused": true}})).await;
    test.has("deployments", "web", "/spec/paused", Value::Null).await;
    test.has("deployments", "web", "/spec/replicas", 8).await;

    // Deleted and created anew, it has what the manifest says.
    let uid = test.uid("deployments", "gone").await;
    test.alice.does("scale deployment gone --replicas=5").await;
    test.alice.does("delete deployment gone --wait=false").await;
    test.eventually("another one", || async {
        let now = test.try_get("deployments", "gone").await?.ok_or("it is gone")?;
        if now["metadata"]["uid"] == uid.as_str() { Err("the old one".to_owned()) } else { Ok(()) }
    })
    .await;
    test.has("deployments", "gone", "/spec/replicas", 2).await;
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exists_already_keeps_its_replicas() {
    let test = Test::shared("existing").await;
    test.alice.does("create deployment web --image=nginx --replicas=5").await;
    test.alice.does("create deployment other --image=nginx").await;
    test.alice.does("scale deployment other --replicas=4").await;
    let (web, other) = (Recorder::start(&test, "web").await, Recorder::start(&test, "other").await);
    let named = |name: &str| preserved(&test, name, 2).replace("name: main", "name: nginx");
    test.declare("mr", &[named("web"), named("other")].concat()).await;
    for (recorder, replicas) in [(web, 5), (other, 4)] {
        assert_eq!(recorder.seen(), [replicas]);
    }
}

/// A manifest that the server refuses to apply is created and patched.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_left_in_what_cannot_be_applied() {
    let test = Test::shared("plainly").await;
    let twice = |replicas: usize, image: &str| {
        preserved(&test, "web", replicas).replace(
            "{name: main, image: nginx}",
            &format!("{{name: main, image: {image}, env: [{{name: A, value: a}}, {{name: A, value: b}}]}}"),
        )
    };
    test.declare("mr", &twice(2, "one")).await;
    may(&test, &["scale", "deployment", "web", "--replicas=5"]).await;
    test.redeclare("mr", &twice(3, "two")).await;
    test.has("deployments", "web", &format!("{MAIN}/image"), "two").await;
    test.resync("mr").await;
    test.has("deployments", "web", "/spec/replicas", 5).await;
    // Mended: apply takes over.
    test.redeclare("mr", &preserved(&test, "web", 3)).await;
    test.has("deployments", "web", &format!("{MAIN}/image"), "nginx").await;
    test.has("deployments", "web", "/spec/replicas", 5).await;
}
