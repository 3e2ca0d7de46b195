//! From an older chart to this one and back, and a new installation right after the end of a former one.
use std::time::{Duration, Instant};

use holdfast_e2e::cache;
use holdfast_e2e::install::{NAMESPACE, OLD_CHART, RELEASE};
use holdfast_e2e::wait;

use crate::harness::{CONTROLLER, LIMIT, Node, figure, row};

const LEASE: &str = "gardener-resource-manager";

/// Waits until the controller's pod has the Lease.
async fn leads(node: &Node) {
    wait::eventually("the controller to lead", LIMIT, || async {
        let pods = node.pods(CONTROLLER).await;
        let lease = node.get(&format!("lease {LEASE} -n {NAMESPACE}")).await.unwrap_or_default();
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        if pods.iter().any(|pod| !holder.is_empty() && holder.starts_with(&pod.name)) {
            Ok(())
        } else {
            Err(lease.to_string())
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn no_edit_passes_on_the_way_from_the_old_chart_and_back() {
    let node = Node::cleared().await;
    let old = cache::workspace().join(OLD_CHART).display().to_string();
    node.helm(&["install", RELEASE, &old, "--namespace", NAMESPACE, "--create-namespace", "--wait"]).await;
    node.declare("edited").await;
    let uid = node.get("configmap edited").await.unwrap()["metadata"]["uid"].clone();
    let edits = node.edits("edited").await;
    let start = Instant::now();
    node.install("upgrade", &[]).await;
    figure("upgrade from the old chart", start.elapsed(), Duration::from_secs(10));
    let start = Instant::now();
    node.helm(&["rollback", RELEASE, "1", "--namespace", NAMESPACE, "--wait"]).await;
    figure("rollback to the old chart", start.elapsed(), Duration::from_secs(10));
    node.install("upgrade", &[]).await;
    leads(&node).await;
    let tally = edits.end().await.unwrap();
    row("upgrade, rollback and upgrade, edits", &tally.described());
    assert!(tally.passed.is_empty() && tally.refused > 500, "{tally:#?}");

    node.helm(&["uninstall", RELEASE, "--namespace", NAMESPACE]).await;
    let start = Instant::now();
    node.install("install", &[]).await;
    leads(&node).await;
    figure("installed again at once, until the new controller leads", start.elapsed(), Duration::from_secs(8));
    node.protects("edited").await;
    assert_eq!(node.get("configmap edited").await.unwrap()["metadata"]["uid"], uid);

    node.does("delete mr --all --timeout=30s").await;
    node.helm(&["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait"]).await;
    wait::eventually("nothing of ours to be there", LIMIT, || async {
        let leases = node.get(&format!("leases,secrets,pods -n {NAMESPACE}")).await.unwrap_or_default();
        let names: Vec<_> =
            leases["items"].as_array().into_iter().flatten().map(|each| each["metadata"]["name"].to_string()).collect();
        if names.is_empty() { Ok(()) } else { Err(names.join(", ")) }
    })
    .await
    .unwrap();
}
