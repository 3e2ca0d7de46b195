//! Edits while replicas of the webhook come, go, die and hang.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use holdfast_e2e::edit_load::Tally;
use holdfast_e2e::install::NAMESPACE;
use holdfast_e2e::wait;

use crate::harness::{LIMIT, Node, Pod, WEBHOOK, figure, row};

const SOME_EDITS: Duration = Duration::from_secs(1);

fn uids(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().map(|pod| pod.uid.clone()).collect()
}

#[tokio::test]
async fn no_edit_passes_while_both_replicas_are_replaced() {
    let node = Node::installed(&[]).await;
    node.declare("edited").await;
    let old = uids(&node.ready_pods(WEBHOOK, 2, &BTreeSet::new()).await);
    let edits = node.edits("edited").await;
    tokio::time::sleep(SOME_EDITS).await;
    let start = Instant::now();
    node.does(&format!("rollout restart deployment holdfast-webhook -n {NAMESPACE}")).await;
    node.ready_pods(WEBHOOK, 2, &old).await;
    figure("rolling restart of the webhook", start.elapsed(), Duration::from_secs(20));
    tokio::time::sleep(SOME_EDITS).await;
    let tally = edits.end().await.unwrap();
    row("rolling restart, edits", &tally.described());
    assert!(tally.passed.is_empty(), "{tally:#?}");
    assert!(tally.refused > 100, "{} edits are no load", tally.refused);
}

/// Kills the container of each replica in turn, as the API server is connected to one of them, and returns what became of the
/// edits: sent, at the earliest, when the container was killed, and at the latest when the kubelet had started it again.
pub async fn kill(node: &Node) -> Vec<Tally> {
    let mut all = Vec::new();
    for _ in 0..2 {
        let pods = node.ready_pods(WEBHOOK, 2, &BTreeSet::new()).await;
        let victim = pods.iter().min_by_key(|pod| pod.restarts).unwrap();
        let edits = node.edits("edited").await;
        tokio::time::sleep(SOME_EDITS).await;
        let killed = Instant::now();
        victim.signal("SIGKILL").await;
        wait::eventually("the kubelet to start it again", LIMIT, || async {
            let pods = node.pods(WEBHOOK).await;
            let is_back = |pod: &Pod| pod.uid == victim.uid && pod.ready && pod.restarts > victim.restarts;
            if pods.iter().any(is_back) { Ok(()) } else { Err(format!("{pods:?}")) }
        })
        .await
        .unwrap();
        let back = Instant::now();
        tokio::time::sleep(SOME_EDITS).await;
        let tally = edits.end().await.unwrap();
        let is_due = |(sent, answered): &(Instant, Instant)| *answered >= killed && *sent <= back;
        assert!(tally.passed.iter().all(is_due) && tally.refused > 50, "{tally:#?}");
        all.push(tally);
    }
    all
}

#[tokio::test]
async fn what_passes_a_killed_container_is_undone_and_soon_over() {
    let node = Node::installed(&[]).await;
    node.declare("edited").await;
    for (turn, tally) in kill(&node).await.into_iter().enumerate() {
        row(&format!("container {turn} killed, edits"), &tally.described());
        // An edit passes that nobody answers: the one in flight, and each for which the API server dials the dead one.
        assert!(tally.passed.len() <= 20, "{tally:#?}");
    }
    node.is_as_declared("edited").await;
}

/// Stops each replica in turn, so that it hangs, and returns what became of the edits, and when the replica left the endpoints.
async fn hang(node: &Node, index: usize) -> (Tally, Instant) {
    let pods = node.ready_pods(WEBHOOK, 2, &BTreeSet::new()).await;
    let victim = &pods[index];
    let edits = node.edits("edited").await;
    tokio::time::sleep(SOME_EDITS).await;
    let start = Instant::now();
    victim.signal("SIGSTOP").await;
    wait::eventually("the replica to leave the endpoints", LIMIT, || async {
        if node.endpoints().await.contains(&victim.name) { Err("it is there") } else { Ok(()) }
    })
    .await
    .unwrap();
    let out = Instant::now();
    figure("a hung replica leaves the endpoints", out - start, Duration::from_secs(16));
    tokio::time::sleep(SOME_EDITS).await;
    let tally = edits.end().await.unwrap();
    victim.signal("SIGCONT").await;
    (tally, out)
}

#[tokio::test]
async fn what_passes_a_hung_replica_is_undone_and_soon_over() {
    let node = Node::installed(&[]).await;
    node.declare("edited").await;
    for index in 0..2 {
        let (tally, out) = hang(&node, index).await;
        row(&format!("replica {index} hung, edits"), &tally.described());
        assert!(tally.passed.iter().all(|(sent, _)| *sent < out), "{tally:#?}");
        assert!(tally.refused > 100, "{tally:#?}");
        node.is_as_declared("edited").await;
    }
}

#[tokio::test]
async fn with_policy_fail_no_edit_passes_while_replicas_hang_die_or_are_gone() {
    let node = Node::installed(&["webhook.failurePolicy=Fail"]).await;
    node.declare("edited").await;
    for index in 0..2 {
        let (tally, _) = hang(&node, index).await;
        row(&format!("replica {index} hung, policy Fail, edits"), &tally.described());
        assert!(tally.passed.is_empty(), "{tally:#?}");
    }
    for (turn, tally) in kill(&node).await.into_iter().enumerate() {
        row(&format!("container {turn} killed, policy Fail, edits"), &tally.described());
        assert!(tally.passed.is_empty(), "{tally:#?}");
    }
    let old = uids(&node.ready_pods(WEBHOOK, 2, &BTreeSet::new()).await);
    let edits = node.edits("edited").await;
    tokio::time::sleep(SOME_EDITS).await;
    let start = Instant::now();
    node.with(&[
        "delete",
        "pods",
        "-n",
        NAMESPACE,
        "-l",
        "app.kubernetes.io/component=webhook",
        "--force",
        "--grace-period=0",
    ])
    .await;
    node.ready_pods(WEBHOOK, 2, &old).await;
    figure("both pods deleted, until two are ready", start.elapsed(), Duration::from_secs(8));
    tokio::time::sleep(SOME_EDITS).await;
    let tally = edits.end().await.unwrap();
    row("both pods deleted, policy Fail, edits", &tally.described());
    assert!(tally.passed.is_empty() && tally.refused > 50, "{tally:#?}");
}
