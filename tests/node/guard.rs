//! The admission policy, when a replica of the webhook is killed, and when no pod of it is there at all.
use std::time::{Duration, Instant};

use holdfast_e2e::install::NAMESPACE;
use holdfast_e2e::wait;

use crate::harness::{LIMIT, Node, WEBHOOK, figure, row};
use crate::interruptions::kill;

#[tokio::test]
async fn the_guard_refuses_what_no_replica_answers() {
    let node = Node::installed(&["guard.enabled=true"]).await;
    node.declare("edited").await;
    // The API server reads and compiles policies when it comes to it.
    let start = Instant::now();
    wait::eventually("the policy to be in force", LIMIT, || async {
        let printed = node.alice("delete configmap edited").await.refusal().map_err(|error| error.to_string())?;
        if printed.contains("ValidatingAdmissionPolicy 'holdfast'") { Ok(()) } else { Err(printed) }
    })
    .await
    .unwrap();
    figure(
        "guard installed and an object declared, until the policy is in force",
        start.elapsed(),
        Duration::from_secs(5),
    );
    for (turn, tally) in kill(&node).await.into_iter().enumerate() {
        row(&format!("container {turn} killed, with the guard, edits"), &tally.described());
        assert!(tally.passed.is_empty() && tally.by_policy == tally.refused, "{tally:#?}");
    }
    let edits = node.edits("edited").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.does(&format!("scale deployment holdfast-webhook -n {NAMESPACE} --replicas=0")).await;
    wait::eventually("no pod to be there", LIMIT, || async {
        let list = node.get(&format!("pods -n {NAMESPACE} -l app.kubernetes.io/component=webhook")).await.unwrap();
        if list["items"].as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err("some are there") }
    })
    .await
    .unwrap();
    let before = edits.tally();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let tally = edits.end().await.unwrap();
    row("guard without webhook, edits", &tally.described());
    assert!(tally.passed.is_empty() && tally.refused > before.refused + 50, "{tally:#?}");
    let printed = node.alice("delete configmap edited").await.refusal().unwrap();
    assert!(
        printed.contains("ValidatingAdmissionPolicy 'holdfast'") && printed.contains("default/edited"),
        "{printed}"
    );
    assert!(node.pods(WEBHOOK).await.is_empty());
}
