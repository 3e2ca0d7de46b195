//! When drift is put right: at once, at the next sync, ever more rarely.
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Test, nothing_happens_for};

/// Longer than any repair takes that is made at once.
const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn repair_can_wait_for_the_next_sync() {
    let test = Test::shared("resync").await;
    let manifests = [test.config_map("a", "one"), test.config_map("b", "one")].concat();
    test.declare("mr", &manifests).mode("Off").repair("Resync").await;
    test.alice.does(r#"patch configmap a -p {"data":{"k":"x","more":"y"}}"#).await;
    test.alice.does("delete configmap b").await;
    nothing_happens_for(PATIENCE, "drift is repaired").await;
    test.has("configmaps", "a", "/data/k", "x").await;
    assert!(test.get("configmaps", "b").await.is_none());

    test.resync("mr").await;
    test.has("configmaps", "a", "/data", json!({"k": "one"})).await;
    test.has("configmaps", "b", "/data/k", "one").await;

    // A change of what is declared is a sync, too.
    test.alice.does(r#"patch configmap a -p {"data":{"k":"x"}}"#).await;
    test.redeclare("mr", &[test.config_map("a", "one"), test.config_map("b", "two")].concat()).await;
    test.has("configmaps", "a", "/data/k", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fight_is_named_and_slowed_down_and_still_held() {
    let test = Test::shared("fight").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).mode("Off").await;
    let mut quick = 0;
    loop {
        test.alice.does(r#"patch configmap a --field-manager=rival -p {"data":{"k":"x"}}"#).await;
        let begin = Instant::now();
        test.has("configmaps", "a", "/data/k", "one").await;
        if begin.elapsed() > Duration::from_millis(1500) {
            break;
        }
        quick += 1;
        assert!(quick < 20, "it is never slowed down");
    }
    assert!(quick > 5, "it is slowed down after {quick} repairs");
    test.message("mr", "Fight", &[&format!("ConfigMap {}/a is changed again and again by rival", test.ns)]).await;
    test.eventually("an Event about the fight", || async {
        let reported = test.events("Fight").await;
        if reported.iter().any(|note| note.contains("rival")) { Ok(()) } else { Err(format!("{reported:?}")) }
    })
    .await;
    // Others are not slowed down by it.
    test.alice.does(r#"patch configmap b -p {"data":{"k":"x"}}"#).await;
    let begin = Instant::now();
    test.has("configmaps", "b", "/data/k", "one").await;
    assert!(begin.elapsed() < PATIENCE);
    let repaired = test.events("Repaired").await;
    assert!(repaired.iter().any(|note| note.contains("(rival: data.k)")), "{repaired:?}");
}
