//! `kubectl drain`: the disruption budget keeps one replica of the webhook.

use holdfast_e2e::install::NAMESPACE;

use crate::harness::{Node, WEBHOOK, row};

#[tokio::test]
async fn a_drain_never_takes_the_last_replica() {
    let node = Node::installed(&[]).await;
    node.declare("edited").await;
    let edits = node.edits("edited").await;
    let args = ["drain", "node1", "--force", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=20s"];
    // There is no other node, so the drain cannot end.
    let printed = node.admin.run(&args, None).await.unwrap().refusal().unwrap();
    assert!(printed.contains("violate the pod's disruption budget"), "{printed}");
    let pods = node.pods(WEBHOOK).await;
    assert_eq!(pods.iter().filter(|pod| pod.ready).count(), 1, "{pods:#?}");
    let tally = edits.end().await.unwrap();
    row("kubectl drain, edits", &tally.described());
    assert!(tally.passed.is_empty() && tally.refused > 100, "{tally:#?}");
    node.does("uncordon node1").await;
    for name in ["holdfast-controller", "holdfast-webhook"] {
        node.does(&format!("rollout status deployment {name} -n {NAMESPACE} --timeout=60s")).await;
    }
    node.protects("edited").await;
}
