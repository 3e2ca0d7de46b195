//! Times that cannot be right: those of a controller whose clock was wrong, or is.
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Stage;

/// Conditions from a clock that was an hour ahead, or years behind, stop nothing and are set right with the next change.
#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_another_time_are_no_obstacle() {
    let stage = Stage::set("clock", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    for (name, offset) in [("ahead", SignedDuration::from_hours(1)), ("behind", SignedDuration::from_hours(-50_000))] {
        stage.submit(name, &test.config_map(name, "one")).await;
        test.applied(name).await;
        // The controller is away while the clock is wrong, so that what it reads is all that it knows.
        stage.replica.kill().await;
        let wrong = (Timestamp::now() + offset).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut mr = test.get("managedresources", name).await.unwrap();
        for condition in mr.pointer_mut("/status/conditions").and_then(Value::as_array_mut).unwrap() {
            condition["lastTransitionTime"] = json!(wrong);
            condition["lastUpdateTime"] = json!(wrong);
        }
        let path =
            format!("/apis/resources.gardener.cloud/v1alpha1/namespaces/{}/managedresources/{name}/status", test.ns);
        test.call("PUT", &path, Some(&mr)).await.unwrap();
        stage.replica.start();

        test.redeclare(name, &test.config_map(name, "two")).await;
        test.has("configmaps", name, "/data/k", "two").await;
        let mr = test.get("managedresources", name).await.unwrap();
        let conditions = mr.pointer("/status/conditions").and_then(Value::as_array).unwrap();
        let applied = conditions.iter().find(|condition| condition["type"] == "ResourcesApplied").unwrap();
        let time: Timestamp = applied["lastTransitionTime"].as_str().unwrap().parse().unwrap();
        let off = Timestamp::now().duration_since(time).abs();
        assert!(off < SignedDuration::from_secs(120), "{name}: {applied}");
    }
}
