//! A rolling restart of the webhook under load, with failure policy Fail: no call fails.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use holdfast_e2e::control_plane::User;
use holdfast_e2e::edit_load::EditLoad;
use serde_json::json;

use crate::harness::{Cluster, SYSTEM, Test, WEBHOOK};

/// Who write labels all the time.
const WRITERS: usize = 6;

fn uids(test: &Test) -> BTreeSet<String> {
    test.cluster.player.pods_of(WEBHOOK).into_iter().map(|pod| pod.uid).collect()
}

/// Writes a label, which is nobody's business, until told to stop, and counts how often.
async fn label(test: &Test, name: &str, stop: &AtomicBool, count: &AtomicUsize) -> Result<(), String> {
    for turn in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let label = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"touched": turn.to_string()}}});
        let written = test.try_apply_as("load", "configmaps", &label).await;
        written.map_err(|error| format!("write {turn} of {name}: {error}"))?;
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_both_replicas_are_replaced() {
    let test =
        Arc::new(Test::on(Arc::new(Cluster::installed_with(&["webhook.failurePolicy=Fail"]).await), "rolling").await);
    let manifests: String = (0..WRITERS).map(|number| test.config_map(&format!("c-{number}"), "one")).collect();
    test.declare("mr", &manifests).await;
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let (test, stop, count) = (Arc::clone(&test), Arc::clone(&stop), Arc::clone(&count));
            tokio::spawn(async move { label(&test, &format!("c-{number}"), &stop, &count).await })
        })
        .collect();
    let alice = test.cluster.control_plane.client(User::Alice).unwrap();
    let edits = EditLoad::start(alice, &test.path("configmaps", "c-0"));
    let calls = || count.load(Ordering::Relaxed) + edits.tally().refused;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (old, before) = (uids(&test), calls());
    assert_eq!(old.len(), 2);
    test.admin.does(&format!("rollout restart deployment {WEBHOOK} -n {SYSTEM}")).await;
    test.eventually("two other replicas", || async {
        let pods = test.cluster.player.pods_of(WEBHOOK);
        let is_done = pods.len() == 2 && pods.iter().all(|pod| pod.ready && !old.contains(&pod.uid));
        if is_done { Ok(()) } else { Err(pods.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")) }
    })
    .await;
    let during = calls() - before;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);
    let mut failures = Vec::new();
    for writer in writers {
        failures.extend(writer.await.unwrap().err());
    }
    let edits = edits.end().await.unwrap();
    assert!(edits.are_all_refused(0), "{edits:#?}");
    eprintln!("{during} calls while two replicas were replaced");
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(during > 100, "{during} calls are no load");
    // Each has said that it leaves before it did, and went on meanwhile.
    let printed = test.cluster.player.all_logs();
    assert_eq!(printed.matches("SIGTERM: shutting down").count(), 2, "{printed}");
    assert!(!printed.contains("did not finish in time"), "{printed}");
}
