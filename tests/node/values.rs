//! Values of the chart that only a kubelet can prove.
use crate::harness::{Node, WEBHOOK};

#[tokio::test]
async fn the_webhook_runs_in_the_network_of_the_node_and_as_whom_the_image_says() {
    let values = [
        "webhook.hostNetwork=true",
        // Both would want the same ports.
        "webhook.replicas=1",
        // As on OpenShift, which gives out user ids itself.
        "podSecurityContext.runAsUser=null",
        "podSecurityContext.runAsGroup=null",
    ];
    let node = Node::installed(&values).await;
    node.declare("edited").await;
    let pods = node.get("pods -n holdfast-system").await.unwrap();
    for pod in pods["items"].as_array().unwrap() {
        assert!(pod.pointer("/spec/securityContext/runAsUser").is_none(), "{pod:#}");
        let is_webhook = pod["metadata"]["labels"]["app.kubernetes.io/component"] == WEBHOOK;
        assert_eq!(pod["status"]["podIP"] == pod["status"]["hostIP"], is_webhook, "{pod:#}");
        // The kubelet would not start a container of root under runAsNonRoot.
        assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
    }
    // One pod ends before the next can have its ports.
    node.does("rollout restart deployment holdfast-webhook -n holdfast-system").await;
    node.does("rollout status deployment holdfast-webhook -n holdfast-system --timeout=60s").await;
    node.protects("edited").await;
}
