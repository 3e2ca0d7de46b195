//! Replicas of the webhook that hang: they cost time, and what passes meanwhile is found.
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{PROTECTION, Test, WEBHOOK, printed, protects};

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_hanging_replicas_costs_their_time_and_is_undone() {
    let test = Test::own("hanging").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    let webhooks = test.cluster.player.pods_of(WEBHOOK);
    let controller = test.cluster.controller().unwrap();
    // Nobody is there to see it.
    controller.signal(Signal::STOP).unwrap();
    for pod in &webhooks {
        pod.signal(Signal::STOP).unwrap();
    }
    let strip = r#"{"metadata":{"labels":null,"annotations":null},"data":{"k":"x"}}"#;
    let begin = Instant::now();
    let output = test.alice.with(&["patch", "configmap", "a", "--type=merge", "-p", strip]).await;
    let cost = begin.elapsed();
    assert!(output.status.success(), "{}", printed(&output));
    // The timeout of a call is three seconds; whether there are replicas that answer is known after ten.
    assert!((Duration::from_secs(2)..Duration::from_secs(12)).contains(&cost), "{cost:?}");
    test.alice.does("delete configmap b").await;
    let stripped = test.get("configmaps", "a").await.unwrap();
    assert_eq!((&stripped["data"]["k"], stripped.pointer(PROTECTION)), (&json!("x"), None));

    controller.signal(Signal::CONT).unwrap();
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("configmaps", "a", PROTECTION, "deny").await;
    test.has("configmaps", "b", "/data/k", "one").await;
    for pod in &webhooks {
        pod.signal(Signal::CONT).unwrap();
    }
    protects(&test, &["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#]).await;
}
