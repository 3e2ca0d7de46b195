//! SIGTERM, as the first process of a container gets it.
use std::time::{Duration, Instant};

use holdfast_e2e::install::NAMESPACE;

use crate::harness::{CONTROLLER, Node, WEBHOOK, figure};

#[tokio::test]
async fn both_programs_end_when_they_are_asked_to() {
    let node = Node::installed(&[]).await;
    node.declare("edited").await;
    // The webhook goes on for the delay of 5 s, so that nobody sends it anything any more.
    for (component, promised) in [(CONTROLLER, 2), (WEBHOOK, 7)] {
        let pod = node.pods(component).await.remove(0);
        let start = Instant::now();
        node.does(&format!("delete pod {} -n {NAMESPACE} --timeout=60s", pod.name)).await;
        figure(
            &format!("SIGTERM to the {component}, until it is gone"),
            start.elapsed(),
            Duration::from_secs(promised),
        );
        // Far below the grace period, after which the kubelet kills.
        assert!(start.elapsed() < Duration::from_secs(19), "{component} did not end by itself");
        node.does(&format!("rollout status deployment holdfast-{component} -n {NAMESPACE} --timeout=60s")).await;
    }
    node.protects("edited").await;
}
