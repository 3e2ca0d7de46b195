//! Clocks that jump while a pause lasts.
use std::fs;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Stage;
use crate::harness::{PROTECTION, clock_library, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_over_when_the_clock_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let library = clock_library(directory.path());
    let file = |name: &str| directory.path().join(name);
    let stage = Stage::set("clocks", &[]).await;
    let webhook = stage.webhook.clocked(&library, &file("webhook"));
    let controller = stage.controller.clocked(&library, &file("controller"));
    let stage = Stage { webhook, controller, ..stage };
    let test = &stage.test;
    stage.apply_once(&test.config_map("a", "one")).await;
    stage.controller.start();
    stage.webhook.start();
    stage.edit_says("a", "is managed by").await;

    let until = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
    let pauses = json!({"spec": {"protection": {"pauses": [{"until": until}]}}});
    test.merge("managedresources", "mr", "e2e", &pauses).await;
    test.has("configmaps", "a", PROTECTION, "off").await;
    stage.edit_says("a", "is paused until").await;

    // The webhook asks its clock about each edit.
    for (minutes, words) in
        [(120, "is managed by"), (-120, "is paused until"), (120, "is managed by"), (0, "is paused until")]
    {
        fs::write(file("webhook"), (minutes * 60).to_string()).unwrap();
        let printed = stage.edit("a").await;
        assert!(printed.contains(words), "{minutes} min: {printed}");
    }
    // The controller looks at its clock about every minute.
    assert_ne!(test.get("configmaps", "a").await.unwrap()["data"]["k"], "one", "it goes on");
    fs::write(file("controller"), (120 * 60).to_string()).unwrap();
    within(Duration::from_secs(100), "the controller to take the pause for over", || async {
        let object = test.try_get("configmaps", "a").await?.ok_or("it is gone")?;
        let is_it = object["data"]["k"] == "one" && object.pointer(PROTECTION) == Some(&json!("deny"));
        if is_it { Ok(()) } else { Err(object.to_string()) }
    })
    .await;
}
