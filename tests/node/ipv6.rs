//! A node whose addresses are all of IPv6.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use holdfast_e2e::install::NAMESPACE;

use crate::harness::{Node, WEBHOOK, figure, row};
use crate::stranger::install_command;

#[tokio::test]
async fn the_chart_needs_no_value() {
    let node = Node::cleared().await;
    let start = Instant::now();
    let command = install_command();
    node.helm(&command.split_whitespace().skip(1).collect::<Vec<_>>()).await;
    node.declare("edited").await;
    figure("IPv6, from images to the first refused edit", start.elapsed(), Duration::from_secs(15));
    let pods = node.get(&format!("pods -n {NAMESPACE}")).await.unwrap();
    let addresses = pods["items"].as_array().unwrap().iter().map(|pod| pod["status"]["podIP"].as_str().unwrap());
    assert!(addresses.clone().all(|address| address.contains(':')), "{:?}", addresses.collect::<Vec<_>>());
    let old = node.ready_pods(WEBHOOK, 2, &BTreeSet::new()).await.into_iter().map(|pod| pod.uid).collect();
    let edits = node.edits("edited").await;
    node.does(&format!("rollout restart deployment holdfast-webhook -n {NAMESPACE}")).await;
    node.ready_pods(WEBHOOK, 2, &old).await;
    let tally = edits.end().await.unwrap();
    row("IPv6, rolling restart, edits", &tally.described());
    assert!(tally.passed.is_empty() && tally.refused > 100, "{tally:#?}");
}
