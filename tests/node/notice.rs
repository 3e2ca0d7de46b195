//! `helm uninstall` with the chart's notice, and where its pod cannot run.
use std::time::{Duration, Instant};

use holdfast_e2e::install::{NAMESPACE, RELEASE};

use crate::harness::{Node, figure};

const ENABLED: &str = "uninstallNotice.enabled=true";
const UNINSTALL: [&str; 4] = ["uninstall", RELEASE, "--namespace", NAMESPACE];

#[tokio::test]
async fn the_uninstall_says_who_keeps_a_finalizer() {
    let node = Node::cleared().await;
    node.does("create namespace holdfast-system").await;
    for level in ["enforce", "warn"] {
        node.does(&format!("label namespace holdfast-system pod-security.kubernetes.io/{level}=restricted")).await;
    }
    // The fewest rights that it may have, the Role of one namespace, and a way out for nobody else.
    let values = [
        ENABLED,
        "rbac.controller.clusterAdmin=false",
        "rbac.controller.extraRules[0].apiGroups[0]=",
        "rbac.controller.extraRules[0].resources[0]=configmaps",
        "rbac.controller.extraRules[0].verbs={get,list,watch,create,update,patch,delete}",
        "controller.config.sourceClientConnection.namespaces={default}",
        "networkPolicy.enabled=true",
    ];
    node.install("install", &values).await;
    node.declare("one").await;
    node.declare("two").await;
    let start = Instant::now();
    let printed = node.helm(&UNINSTALL).await;
    figure("helm uninstall with the notice", start.elapsed(), Duration::from_secs(15));
    let finalizer = "resources.gardener.cloud/gardener-resource-manager";
    let count = format!("2 ManagedResources keep the finalizer {finalizer}: default/one, default/two. ");
    assert!(printed.contains(&count) && printed.contains("`kubectl delete managedresources "), "{printed}");
    assert!(!printed.contains("would violate") && !printed.contains("Not all could be seen"), "{printed}");
    assert!(node.get("jobs -n holdfast-system").await.unwrap()["items"].as_array().unwrap().is_empty());
    assert!(node.get("configmap one").await.is_some(), "the objects stay");

    // What was said is so, and helps.
    node.does("delete mr one --wait=false").await;
    let retained = node.get("mr one").await.unwrap();
    assert_eq!(retained["metadata"]["finalizers"][0], finalizer, "{retained:#}");
    // As it is copied from what helm shows.
    let command = printed.split('`').find(|part| part.starts_with("kubectl patch")).unwrap();
    let output = node.admin.shell(&command.replace("NAMESPACE NAME", "default one")).await.unwrap();
    output.success().unwrap();
    node.does("wait --for=delete mr/one --timeout=10s").await;
    assert!(node.get("configmap one").await.is_some(), "the objects stay");
}

#[tokio::test]
async fn where_no_pod_runs_the_uninstall_fails_in_time_and_works_without_hooks() {
    let node = Node::installed(&[ENABLED]).await;
    node.does("cordon node1").await;
    let start = Instant::now();
    let output = node.admin.helm(&UNINSTALL).await.unwrap();
    let printed = output.refusal().unwrap();
    figure("a notice that cannot be given", start.elapsed(), Duration::from_secs(45));
    assert!(printed.contains("Job/holdfast-system/holdfast-uninstall-notice not ready"), "{printed}");
    node.helm(&[&UNINSTALL[..], &["--no-hooks"]].concat()).await;
    node.does("uncordon node1").await;
    assert!(node.get("deployments -n holdfast-system").await.unwrap()["items"].as_array().unwrap().is_empty());
}
