//! Pauses, while nobody can tell whether somebody may begin one.
use std::time::{Duration, Instant};

use holdfast_e2e::fault_proxy::{Fault, Rule};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Stage;
use crate::harness::{printed, reported};

/// Pauses everything for some minutes, which differ each time.
async fn pause(stage: &Stage, minutes: i64) -> String {
    let until = Timestamp::now() + SignedDuration::from_mins(minutes);
    let until = until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let patch = json!({"spec": {"protection": {"pauses": [{"until": until, "reason": "an incident"}]}}}).to_string();
    let output = stage.test.alice.with(&["patch", "managedresource", "mr", "--type=merge", "-p", &patch]).await;
    assert!(output.status.success(), "{}", printed(&output));
    printed(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_nobody_can_check_is_taken_and_told_of() {
    let stage = Stage::set("unchecked", &[]).await;
    let test = &stage.test;
    stage.apply_once(&test.config_map("a", "one")).await;
    stage.webhook.start();
    stage.probes("/readyz", &["HTTP/1.1 200"]).await;
    stage.edit_says("a", "is managed by").await;
    let answer = |code| Fault::Answer { code, retry_after: None };
    let faults = [answer(403), answer(500), Fault::CutBefore, Fault::Hang];
    for (minutes, fault) in (10..).zip(faults) {
        let name = format!("{fault:?}");
        stage.harm(Rule::new(fault, |request| request.path.ends_with("/subjectaccessreviews")));
        let begin = Instant::now();
        let printed = pause(&stage, minutes).await;
        let parts = ["all objects are paused until", "whether you may do that (verb override) was not checked: "];
        assert!(parts.iter().all(|part| printed.contains(part)), "{name}: {printed}");
        // The API server would have given up after three seconds, and nothing would have been said.
        assert!(begin.elapsed() < Duration::from_secs(10), "{name}: {:?}", begin.elapsed());
    }
    reported(test, "Paused", &["By user \"alice\" (not checked whether that user may: ", "an incident"]).await;
    let metrics = stage.probe("/metrics").await;
    assert!(metrics.contains("holdfast_webhook_pauses_total{result=\"unchecked\"} 4"), "{metrics}");

    stage.proxy.clear();
    let printed = pause(&stage, 20).await;
    assert!(!printed.contains("was not checked"), "{printed}");
    // Whoever ends it is named.
    let patch = json!({"spec": {"protection": {"pauses": null}}}).to_string();
    let output = test.admin.with(&["patch", "managedresource", "mr", "--type=merge", "-p", &patch]).await;
    assert!(output.status.success());
    reported(test, "Unpaused", &["By user \"admin\": no longer: all objects are paused until", "an incident"]).await;
    assert!(stage.account.user.ends_with(":holdfast"));
}
