//! ManagedResources on the node, and their objects in a cluster of its own, whose API server reaches the webhook by an address
//! in front of its Service.
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::control_plane::{ControlPlane, Options, Site, User};
use holdfast_e2e::install::{NAMESPACE, RELEASE};
use holdfast_e2e::kubectl::Kubectl;
use holdfast_e2e::node::Family;
use holdfast_e2e::wait;
use serde_json::{Value, json};

use crate::harness::{CONTROLLER, LIMIT, Node, WEBHOOK, chart, declaration, figure};

/// The user that controller and webhook are in the target.
const USER: &str = "holdfast";
/// Stands for a load balancer.
const FRONT: &str = "203.0.113.77";

/// A cluster without nodes whose API server is in the node's network.
async fn target() -> ControlPlane {
    let options = Options { site: Site { address: Family::V4.node(), ..Site::default() }, ..Options::default() };
    let target = ControlPlane::start(options).await.unwrap();
    let binding = json!({"metadata": {"name": USER}});
    let admin = Kubectl::new(target.tools(), &target.kubeconfig(), User::Admin.name());
    let name = binding["metadata"]["name"].as_str().unwrap();
    let args = ["create", "clusterrolebinding", name, "--clusterrole=cluster-admin", "--user", USER];
    admin.run(&args, None).await.unwrap().success().unwrap();
    target
}

/// The target's kubeconfig for us, with everything in it.
fn kubeconfig(target: &ControlPlane) -> String {
    let text = target.component_kubeconfig(USER, None).unwrap();
    let mut kubeconfig: Value = serde_yaml::from_str(&text).unwrap();
    let cluster = &mut kubeconfig["clusters"][0]["cluster"];
    let authority = fs::read(cluster["certificate-authority"].as_str().unwrap()).unwrap();
    cluster.as_object_mut().unwrap().remove("certificate-authority");
    cluster["certificate-authority-data"] = json!(STANDARD.encode(authority));
    kubeconfig.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_alone_becomes_available_and_a_target_is_protected() {
    let node = Node::cleared().await;
    let target = target().await;
    let [admin, alice] =
        [User::Admin, User::Alice].map(|user| Kubectl::new(target.tools(), &target.kubeconfig(), user.name()));
    node.does(&format!("create namespace {NAMESPACE}")).await;
    let data = BTreeMap::from([("kubeconfig", kubeconfig(&target))]);
    let secret = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "target-kubeconfig", "namespace": NAMESPACE}, "stringData": data});
    node.apply(&secret.to_string()).await;
    let front = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "front", "namespace": NAMESPACE},
        "spec": {"clusterIP": FRONT, "ports": [{"port": 9443}],
            "selector": {"app.kubernetes.io/name": "holdfast", "app.kubernetes.io/component": "webhook"}}});
    node.apply(&front.to_string()).await;

    let advertised = format!("clusters.advertiseURL=https://{FRONT}:9443");
    let start = Instant::now();
    let source = ["clusters.role=Source", "clusters.targetKubeconfig.secretName=target-kubeconfig", &advertised];
    node.install("install", &source).await;
    figure("role Source with --wait, before there is a Target", start.elapsed(), Duration::from_secs(8));
    node.apply(&declaration("crossed")).await;
    node.does("wait --for=condition=ResourcesApplied mr/crossed --timeout=60s").await;
    assert!(node.get("configmap crossed").await.is_none());

    let start = Instant::now();
    let chart = chart().display().to_string();
    let users = format!("clusters.targetUsers={{{USER}}}");
    let mut args = vec!["install", RELEASE, &chart, "--namespace", NAMESPACE, "--create-namespace", "--wait"];
    args.extend(["--set", "clusters.role=Target", "--set", &advertised, "--set", &users]);
    admin.helm(&args).await.unwrap().success().unwrap();
    let patch = r#"{"data":{"k":"alice"}}"#;
    wait::eventually("the edit to be refused in the target", LIMIT, || async {
        let args = ["patch", "configmap", "crossed", "--type=merge", "--patch", patch];
        let printed = alice.run(&args, None).await.unwrap().refusal().map_err(|error| error.to_string())?;
        if printed.contains("is managed by ManagedResource default/crossed") { Ok(()) } else { Err(printed) }
    })
    .await
    .unwrap();
    figure("Target installed, until an edit is refused there", start.elapsed(), Duration::from_secs(10));
    // What was edited before is put right.
    wait::eventually("the object in the target to be as declared", LIMIT, || async {
        let args = ["get", "configmap", "crossed", "-o", "jsonpath={.data.k}"];
        let text = admin.run(&args, None).await.unwrap().success().map_err(|error| error.to_string())?;
        if text == "one" { Ok(()) } else { Err(text) }
    })
    .await
    .unwrap();
    for component in [CONTROLLER, WEBHOOK] {
        let pods = node.pods(component).await;
        assert!(pods.iter().all(|pod| pod.ready && pod.restarts == 0), "{pods:#?}");
    }
    node.does("delete mr crossed --timeout=30s").await;
    target.stop().await.unwrap();
}
