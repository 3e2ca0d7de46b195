//! The two examples of the documentation, verbatim, in the namespace `default`, one after the other.
use holdfast_e2e::cache;
use serde_json::Value;

use crate::harness::{Cluster, PROTECTION, Test, text};

#[tokio::test(flavor = "multi_thread")]
async fn both_examples_work_and_the_second_replaces_the_first() {
    let test = Test::within(Cluster::shared().await, "default");
    let examples = cache::workspace().join("hack/examples");

    test.alice.applies_file(&examples.join("1.yaml")).await;
    test.applied("example").await;
    for name in ["test-1234", "test-5678"] {
        let config_map = test.get("configmaps", name).await.expect("both ConfigMaps are there");
        assert_eq!(config_map["metadata"]["annotations"]["resources.gardener.cloud/origin"], "default/example");
        assert_eq!(config_map["metadata"]["labels"]["resources.gardener.cloud/protection"], "deny");
    }
    // These ConfigMaps have no content that could be changed.
    let refusal = test.alice.run("delete configmap test-1234").await.refusal().unwrap();
    assert!(refusal.contains("Secret default/managedresource-example1"), "{refusal}");
    let strip = test.alice.run("label configmap test-1234 resources.gardener.cloud/protection-").await;
    assert!(strip.refusal().unwrap().contains("is managed by ManagedResource default/example"));

    test.alice.applies_file(&examples.join("2.yaml")).await;
    test.gone("configmaps", "test-1234").await;
    test.gone("configmaps", "test-5678").await;
    test.has("deployments", "nginx-deployment", "/status/replicas", 2).await;
    test.applied("example").await;

    let deployment = test.get("deployments", "nginx-deployment").await.unwrap();
    assert_eq!(deployment["metadata"]["labels"]["foo"], "bar");
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "nginx:1.7.9");
    for (resource, count) in [("replicasets", 1), ("pods", 2)] {
        let objects: Vec<Value> = test.list(resource).await;
        assert_eq!(objects.len(), count, "{resource}");
        for object in objects {
            assert_eq!(text(&object, "/metadata/labels/foo"), "bar", "{resource}");
            assert_eq!(object.pointer(PROTECTION), None, "{resource}");
        }
    }
    let mr = test.get("managedresources", "example").await.unwrap();
    let inventory = mr["status"]["resources"].as_array().unwrap();
    assert_eq!(inventory.len(), 1, "{inventory:?}");
    assert_eq!((&inventory[0]["kind"], &inventory[0]["name"]), (&"Deployment".into(), &"nginx-deployment".into()));

    let columns = test.alice.does("get mr").await;
    let mut lines = columns.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next().unwrap(), ["NAME", "CLASS", "APPLIED", "HEALTHY", "PROGRESSING", "AGE"]);
    // No class is set, so that column is blank.
    assert_eq!(lines.next().unwrap()[..2], ["example", "True"]);

    test.alice.does("delete managedresource example --timeout=45s").await;
    test.gone("deployments", "nginx-deployment").await;
}
