//! What everything rests on is killed in the middle of work on many objects, and comes back.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_e2e::control_plane::Component;
use serde_json::Value;

use crate::harness::{Account, Cluster, Replica, Test, text, within};

const OBJECTS: usize = 300;
/// Objects that the second set does not declare, and those that only the second declares.
const EXCHANGED: usize = 50;
/// The API server may take its time to come up on a busy machine, and then waits are cut short by nothing.
const LIMIT: Duration = Duration::from_secs(90);
const AWAY: Duration = Duration::from_secs(1);

/// Our ConfigMaps: value and uid.
async fn managed(test: &Test) -> Result<BTreeMap<String, (String, String)>, String> {
    let path = format!("/api/v1/namespaces/{}/configmaps", test.ns);
    let list = test.call("GET", &path, None).await.map_err(|error| error.to_string())?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let ours = items.iter().filter(|item| text(item, "/metadata/name").starts_with("many-"));
    Ok(ours.map(|item| (text(item, "/metadata/name"), (text(item, "/data/k"), text(item, "/metadata/uid")))).collect())
}

fn manifests(test: &Test, numbers: std::ops::Range<usize>, value: &str) -> String {
    numbers.map(|number| test.config_map(&format!("many-{number}"), value)).collect()
}

/// Waits until so many objects have this value, and returns what there is.
async fn midway(test: &Test, value: &str, count: usize) -> BTreeMap<String, (String, String)> {
    loop {
        let all = managed(test).await.unwrap();
        if all.values().filter(|(found, _)| found == value).count() >= count {
            return all;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn killed(test: &Test, component: Component) {
    let control_plane = &test.cluster.control_plane;
    control_plane.kill_component(component).await.unwrap();
    tokio::time::sleep(AWAY).await;
    control_plane.start_component(component).await.unwrap();
}

/// Waits until exactly these objects are held with this value, in the inventory as well.
async fn converges(test: &Test, numbers: std::ops::Range<usize>, value: &str) -> BTreeMap<String, (String, String)> {
    let begin = Instant::now();
    let expected: Vec<String> = {
        let mut names: Vec<_> = numbers.map(|number| format!("many-{number}")).collect();
        names.sort();
        names
    };
    let all = within(LIMIT, "all objects to be held", || async {
        let all = managed(test).await?;
        let wrong: Vec<_> = all.iter().filter(|(_, (found, _))| found != value).map(|(name, _)| name).collect();
        if !wrong.is_empty() || !all.keys().eq(expected.iter()) {
            return Err(format!("{} objects, {} of them with another value", all.len(), wrong.len()));
        }
        let mr = test.try_get("managedresources", "many").await?.ok_or("there is no ManagedResource")?;
        let inventory = mr.pointer("/status/resources").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut names: Vec<String> = inventory.iter().map(|reference| text(reference, "/name")).collect();
        names.sort();
        let applied = mr.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_applied = applied.iter().any(|condition| condition["reason"] == "ApplySucceeded");
        if names == expected && is_applied {
            Ok(all)
        } else {
            Err(format!("{} in the inventory, {applied:?}", names.len()))
        }
    })
    .await;
    eprintln!("converged {:.1} s after everything was back", begin.elapsed().as_secs_f64());
    all
}

/// Whoever was there before is there still, and is the same.
fn assert_same(before: &BTreeMap<String, (String, String)>, after: &BTreeMap<String, (String, String)>) {
    for (name, (_, uid)) in before {
        if let Some((_, now)) = after.get(name) {
            assert_eq!(uid, now, "{name} was deleted and created anew");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_in_the_middle_of_work_lose_and_leak_nothing() {
    let cluster = Cluster::bare().await;
    cluster.define().await.unwrap();
    let test = Test::on(Arc::new(cluster), "outage").await;
    let account = Account::create(&test, "controller").await;
    let replica = Replica::direct(&test.cluster, "outage", &account.token, "outage").in_namespace(&test.ns);
    replica.start();

    test.declare("many", &manifests(&test, 0..OBJECTS, "one")).class("outage").write().await;
    let before = midway(&test, "one", 20).await;
    killed(&test, Component::ApiServer).await;
    eprintln!("the API server was killed when {} of {OBJECTS} objects were there", before.len());
    assert!(before.len() < OBJECTS, "it was in the middle");
    let first = converges(&test, 0..OBJECTS, "one").await;
    assert_same(&before, &first);

    test.secret("many", &manifests(&test, EXCHANGED..OBJECTS + EXCHANGED, "two")).await;
    let during = midway(&test, "two", 20).await;
    killed(&test, Component::Etcd).await;
    let changed = during.values().filter(|(value, _)| value == "two").count();
    eprintln!("etcd was killed when {changed} of {OBJECTS} objects were changed");
    assert!(changed < OBJECTS, "it was in the middle");
    let second = converges(&test, EXCHANGED..OBJECTS + EXCHANGED, "two").await;
    assert_same(&first, &second);
    assert_same(&during, &second);

    test.delete("managedresources", "many").await;
    while managed(&test).await.unwrap().len() == OBJECTS {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    killed(&test, Component::ApiServer).await;
    within(LIMIT, "everything to be deleted", || async {
        let mr = test.try_get("managedresources", "many").await?;
        let remaining = managed(&test).await?.len();
        if mr.is_none() { Ok(remaining) } else { Err(format!("{remaining} objects are left")) }
    })
    .await;
    assert_eq!(managed(&test).await.unwrap().len(), 0, "nothing is leaked");
    assert!(replica.is_running(), "the controller has lived through all of it");
}
