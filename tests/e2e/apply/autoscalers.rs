//! Workloads that HorizontalPodAutoscalers scale: their replicas are the autoscalers'. Nobody measures anything here, but an
//! autoscaler obeys its own minimum without that.
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{AUTOSCALERS, Recorder, Test, nothing_happens_for, printed};

/// For a write that should not come.
const QUIET: Duration = Duration::from_secs(3);

fn autoscaler(test: &Test, name: &str, target: &Value, least: usize) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": test.ns},
        "spec": {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": 20},
    })
}

fn web() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"})
}

/// Waits until the controller has left the replicas of a Deployment to others, or holds them again.
async fn replicas_are_unmanaged(test: &Test, name: &str, is_unmanaged: bool) {
    test.eventually(&format!("replicas of {name} to be left to others: {is_unmanaged}"), || async {
        let object = test.try_get("deployments", name).await?.ok_or("it is gone")?;
        let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let own = entries.iter().find(|entry| entry["manager"] == "holdfast" && entry["operation"] == "Apply");
        let own = own.ok_or("it is not ours")?;
        let is_now = own.pointer("/fieldsV1/f:spec/f:replicas").is_none();
        if is_now == is_unmanaged { Ok(()) } else { Err(own.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_comes_and_goes_and_replicas_never_jump() {
    let test = Test::shared("autoscaled").await;
    test.declare("mr", &test.deployment("web")).await;
    let recorder = Recorder::start(&test, "web").await;
    let output = test.alice.run("scale deployment web --replicas=3").await;
    assert!(!output.status.success(), "as long as nobody else scales it: {}", printed(&output));

    test.create(AUTOSCALERS, &autoscaler(&test, "one", &web(), 5)).await;
    replicas_are_unmanaged(&test, "web", true).await;
    test.has("deployments", "web", "/spec/replicas", 5).await;
    test.resync("mr").await;
    // Other changes come through, and another number in the Secret does not.
    let other = test.deployment("web").replace("image: nginx", "image: other").replace("replicas: 2", "replicas: 3");
    test.redeclare("mr", &other).await;
    test.has("deployments", "web", "/spec/template/spec/containers/0/image", "other").await;
    // Who may not scale what is declared may scale what is not.
    test.eventually("kubectl scale to pass", || async {
        let output = test.alice.run("scale deployment web --replicas=6").await;
        if output.status.success() { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    let image = ["set", "image", "deployment/web", "main=spy"];
    assert!(test.alice.with(&image).await.refusal().unwrap().contains("image"));

    // One that is replaced, also under another name, was never away.
    test.delete(AUTOSCALERS, "one").await;
    test.resync("mr").await;
    nothing_happens_for(QUIET, "the number jumps back to the manifest's").await;
    test.create(AUTOSCALERS, &autoscaler(&test, "two", &web(), 6)).await;
    test.resync("mr").await;
    nothing_happens_for(QUIET, "another number is written").await;
    assert_eq!(recorder.seen(), [2, 5, 6]);

    // One that stays away leaves the number to the manifest; there is none between.
    test.delete(AUTOSCALERS, "two").await;
    replicas_are_unmanaged(&test, "web", false).await;
    test.has("deployments", "web", "/spec/replicas", 3).await;
    nothing_happens_for(QUIET, "another number is written").await;
    assert_eq!(recorder.seen(), [2, 5, 6, 3]);
    assert!(test.events("Repaired").await.is_empty(), "{:?}", test.events("Repaired").await);
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_of_the_same_secret() {
    let test = Test::shared("hpa-same").await;
    let own = format!("{}\n---\n", autoscaler(&test, "own", &web(), 4));
    test.declare("mr", &[own, test.deployment("web")].concat()).await;
    replicas_are_unmanaged(&test, "web", true).await;
    let recorder = Recorder::start(&test, "web").await;
    test.has("deployments", "web", "/spec/replicas", 4).await;
    test.resync("mr").await;
    nothing_happens_for(QUIET, "another number is written").await;
    assert!([&[4][..], &[2, 4]].contains(&&*recorder.seen()), "{:?}", recorder.seen());
    // Without it, the number is that of the manifest.
    test.redeclare("mr", &test.deployment("web")).await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
}

/// Autoscalers that say nothing sensible, or of kinds that are not meant, harm nobody.
#[tokio::test(flavor = "multi_thread")]
async fn bad_autoscalers_are_passed_over() {
    let test = Test::shared("hpa-bad").await;
    let mut accepted = Vec::new();
    for (name, target) in [
        ("slashes", json!({"apiVersion": "apps/v1/x", "kind": "Deployment", "name": "web"})),
        ("none", json!({"kind": "Deployment", "name": "web"})),
        ("other-group", json!({"apiVersion": "example.com/v1", "kind": "Deployment", "name": "web"})),
        ("other-kind", json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web"})),
        ("other-name", json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"})),
    ] {
        let path = test.path(AUTOSCALERS, "");
        if test.call("POST", &path, Some(&autoscaler(&test, name, &target, 7))).await.is_ok() {
            accepted.push(name);
        }
    }
    eprintln!("accepted by the server: {accepted:?}");
    assert!(accepted.len() >= 3, "{accepted:?}");
    test.declare("mr", &[test.deployment("web"), test.deployment("second")].concat()).await;
    test.create(
        AUTOSCALERS,
        &autoscaler(
            &test,
            "good",
            &json!({"apiVersion": "extensions/v1beta1", "kind": "Deployment", "name": "second"}),
            1,
        ),
    )
    .await;
    replicas_are_unmanaged(&test, "second", true).await;
    replicas_are_unmanaged(&test, "web", false).await;
    test.redeclare("mr", &test.deployment("web").replace("replicas: 2", "replicas: 3")).await;
    test.has("deployments", "web", "/spec/replicas", 3).await;
}
