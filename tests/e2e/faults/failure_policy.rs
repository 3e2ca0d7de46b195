//! Failure policy Fail with all our processes gone: the cluster lives, and so do we again.
use std::sync::Arc;

use holdfast_e2e::control_plane::Component;
use serde_json::{Value, json};

use crate::harness::{CONTROLLER, Cluster, SYSTEM, Test, WEBHOOK, printed, protects, text};

async fn scale(test: &Test, deployment: &str, replicas: usize) {
    test.alice.does(&format!("scale deployment {deployment} --replicas={replicas} -n {SYSTEM}")).await;
    test.eventually(&format!("{replicas} ready pods of {deployment}"), || async {
        let pods = test.cluster.player.pods_of(deployment);
        let ready = pods.iter().filter(|pod| pod.ready).count();
        if (pods.len(), ready) == (replicas, replicas) { Ok(()) } else { Err(format!("{ready} of {}", pods.len())) }
    })
    .await;
}

/// Of the Leases by which API servers tell of themselves.
async fn renewed(test: &Test) -> Vec<String> {
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    let list = test.call("GET", path, None).await.unwrap();
    let times = list["items"].as_array().into_iter().flatten().map(|lease| text(lease, "/spec/renewTime"));
    times.filter(|time| !time.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_policy_fail_and_without_us_the_cluster_starts_and_works() {
    let cluster = Arc::new(Cluster::installed_with(&["webhook.failurePolicy=Fail"]).await);
    let test = Test::on(Arc::clone(&cluster), "alone").await;
    let doomed = Test::on(Arc::clone(&cluster), "doomed").await;
    let lease = format!(
        "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {{name: node, namespace: {}}}\n---\n",
        test.ns
    );
    let manifests =
        [test.config_map("a", "one"), test.deployment("web"), lease, doomed.config_map("b", "one")].concat();
    test.declare("mr", &manifests).await;
    for deployment in [CONTROLLER, WEBHOOK] {
        scale(&test, deployment, 0).await;
    }
    let edit = r#"{"data":{"k":"x"}}"#;
    let output = test.alice.with(&["patch", "configmap", "a", "-p", edit]).await;
    assert!(printed(&output).contains("failed calling webhook"), "what is managed is closed: {}", printed(&output));
    test.alice.does("annotate configmap a example.com/note=free").await;

    let control_plane = &cluster.control_plane;
    control_plane.stop_component(Component::ControllerManager).await.unwrap();
    control_plane.stop_component(Component::ApiServer).await.unwrap();
    control_plane.start_component(Component::ApiServer).await.unwrap();
    control_plane.start_component(Component::ControllerManager).await.unwrap();

    the_control_plane_works(&test, &doomed).await;
    // A node, whose own writes of a managed object pass.
    let account = ["--as=system:node:n1", "--as-group=system:nodes"];
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "nodes"}, "subjects": [{"kind": "Group", "name": "system:nodes"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node"}});
    test.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", Some(&binding)).await.unwrap();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    test.eventually("a node to join", || async {
        let output = test.admin.send_with(&[&["create"], &account[..]].concat(), &node.to_string()).await;
        if output.status.success() { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    let renewal = r#"{"spec":{"holderIdentity":"n1"}}"#;
    let output =
        test.admin.with(&[&["patch", "lease", "node", "--type=merge", "-p", renewal], &account[..]].concat()).await;
    assert!(output.status.success(), "{}", printed(&output));

    // Our own things can be changed, and start again.
    test.alice.does(&format!("annotate deployment {WEBHOOK} changed=yes -n {SYSTEM}")).await;
    test.alice.does(&format!("set env deployment {CONTROLLER} CHANGED=yes -n {SYSTEM}")).await;
    scale(&test, WEBHOOK, 2).await;
    scale(&test, CONTROLLER, 1).await;
    protects(&test, &["patch", "configmap", "a", "-p", edit]).await;
    test.redeclare("mr", &[test.config_map("a", "two"), test.deployment("web")].concat()).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.gone("coordination.k8s.io/v1/leases", "node").await;
}

/// Leases are renewed, namespaces go with the managed objects in them, pods of managed workloads come back.
async fn the_control_plane_works(test: &Test, doomed: &Test) {
    let before = renewed(test).await;
    assert!(!before.is_empty(), "API servers have Leases");
    doomed.admin.does(&format!("delete namespace {} --wait --timeout=60s", doomed.ns)).await;
    let first = |list: &[Value]| list.first().map(|object| text(object, "/metadata/name"));
    let name = first(&test.list("replicasets").await).expect("a ReplicaSet");
    let uid = test.uid("replicasets", &name).await;
    test.alice.does(&format!("delete replicaset {name} --wait=false")).await;
    test.eventually("the Deployment to have another ReplicaSet", || async {
        let rest = test.list("replicasets").await;
        let another = rest.iter().any(|object| object["metadata"]["uid"] != uid.as_str());
        if another { Ok(()) } else { Err(format!("{} there", rest.len())) }
    })
    .await;
    test.eventually("pods of it", || async {
        let pods = test.list("pods").await.len();
        if pods >= 2 { Ok(()) } else { Err(format!("{pods} there")) }
    })
    .await;
    test.eventually("Leases to be renewed", || async {
        let now = renewed(test).await;
        if now.iter().any(|time| !before.contains(time)) { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}
