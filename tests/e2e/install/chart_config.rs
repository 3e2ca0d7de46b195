//! The configuration file as the chart brings it, with no more rights than it needs.
use std::sync::Arc;

use holdfast_e2e::{cache, install};
use serde_json::json;

use crate::harness::{Cluster, SYSTEM, Test};

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_brings_the_file_and_the_rights_that_follow_from_it() {
    let test = Test::on(Arc::new(Cluster::bare().await), "ours").await;
    let other = Test::on(Arc::clone(&test.cluster), "theirs").await;
    let namespaces = format!("controller.config.sourceClientConnection.namespaces={{{}}}", test.ns);
    let values = [
        &*namespaces,
        "controller.managedBy=chart",
        "controller.config.leaderElection.resourceName=from-file",
        "controller.config.controllers.clusterID=one",
        "controller.config.controllers.garbageCollector.enabled=true",
        "controller.config.controllers.managedResources.syncPeriod=10m",
        "rbac.controller.clusterAdmin=false",
        "rbac.controller.extraRules[0].apiGroups[0]=",
        "rbac.controller.extraRules[0].resources={configmaps}",
        "rbac.controller.extraRules[0].verbs={get,list,watch,create,update,patch,delete}",
    ];
    install::install(&test.cluster.control_plane, &test.cluster.player, &values).await.unwrap();
    let label = "metadata:\n  labels: {resources.gardener.cloud/garbage-collectable-reference: 'true'}\n";
    for test in [&test, &other] {
        let collected = test.config_map("collected", "one").replace("metadata:\n", label);
        test.declare("mr", &[test.config_map("a", "one"), collected].concat()).write().await;
    }
    test.applied("mr").await;
    test.redeclare("mr", &test.config_map("a", "two")).await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(object["data"]["k"], "two");
    // A garbage collector may have it, and nobody else's edit is refused.
    assert!(test.get("configmaps", "collected").await.is_some(), "it is kept");
    test.alice.does(r#"patch configmap collected -p {"data":{"k":"x"}}"#).await;
    assert_eq!(object["metadata"]["labels"]["resources.gardener.cloud/managed-by"], "chart");
    let origin = "/metadata/annotations/resources.gardener.cloud~1origin";
    assert_eq!(object.pointer(origin), Some(&json!(format!("one:{}/mr", test.ns))));
    let system = Test::within(Arc::clone(&test.cluster), SYSTEM);
    assert!(system.get("coordination.k8s.io/v1/leases", "from-file").await.is_some());
    assert!(system.get("secrets", "holdfast-digest-key").await.is_some());
    let theirs = other.get("managedresources", "mr").await.unwrap();
    assert!(theirs["status"].is_null() && other.get("configmaps", "a").await.is_none(), "{theirs}");

    // A changed file is a new pod.
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    let change = "controller.config.controllers.clusterID=two";
    let upgrade = ["upgrade", install::RELEASE, &chart, "--reuse-values", "--set", change];
    system.admin.helm(&upgrade).await.success().unwrap();
    test.has("configmaps", "a", origin, format!("two:{}/mr", test.ns)).await;

    // What is the chart's own is not taken.
    for key in ["logLevel=debug", "server.metrics.port=1", "kind=x"] {
        let value = format!("controller.config.{key}");
        let refusal = test.admin.helm(&["template", &chart, "--set", &value]).await.refusal().unwrap();
        assert!(refusal.contains("controller"), "{refusal}");
    }
}
