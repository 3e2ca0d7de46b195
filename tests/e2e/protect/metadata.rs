//! Metadata and status: what is reserved, and what anybody may add.
use serde_json::json;

use crate::harness::{Test, printed};

const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: NS}, spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}}\n---\n";
const SET: &str = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: set, namespace: NS}, spec: {replicas: 0, serviceName: web, selector: {matchLabels: {app: set}}, template: {metadata: {labels: {app: set}}, spec: {containers: [{name: c, image: nginx}]}}}}\n---\n";

#[tokio::test(flavor = "multi_thread")]
async fn status_is_free_but_is_no_way_around() {
    let test = Test::shared("status").await;
    test.declare("mr", &[SERVICE, SET, &test.deployment("web")].concat().replace("NS", &test.ns)).await;

    let ingress = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}}}"#;
    test.alice.does(&format!("patch service web --subresource=status -p {ingress}")).await;
    test.has("services", "web", "/status/loadBalancer/ingress/0/ip", "192.0.2.7").await;

    for kind in ["services", "statefulsets"] {
        let name = if kind == "services" { "web" } else { "set" };
        for (map, key) in [("labels", "protection"), ("labels", "managed-by"), ("annotations", "origin")] {
            let before = test.get(kind, name).await.unwrap()["metadata"][map].clone();
            let patch = json!({"metadata": {map: {format!("resources.gardener.cloud/{key}"): null}}}).to_string();
            let args = ["patch", kind, name, "--subresource=status", "--type=merge", "-p", &patch];
            let output = test.alice.with(&args).await;
            let field = format!("metadata.{map}[resources.gardener.cloud/{key}] is reserved for Holdfast");
            assert!(!output.status.success() && output.stderr.contains(&field), "{kind}: {}", printed(&output));
            assert_eq!(test.get(kind, name).await.unwrap()["metadata"][map], before, "{kind} {map}");
        }
        let patch = json!({"metadata": {"ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "00000000-0000-0000-0000-000000000000"}]}});
        let patch = patch.to_string();
        let output =
            test.alice.with(&["patch", kind, name, "--subresource=status", "--type=merge", "-p", &patch]).await;
        assert!(!output.status.success() && output.stderr.contains("metadata.ownerReferences"), "{}", printed(&output));
    }
    assert!(test.events("Repaired").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_labels_and_annotations_are_welcome() {
    let test = Test::shared("foreign").await;
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).await;
    for object in ["configmap/a", "deployment/web"] {
        test.alice.does(&format!("label {object} team=blue")).await;
        test.alice.does(&format!("annotate {object} example.com/note=hello")).await;
    }
    test.resync("mr").await;
    test.redeclare("mr", &[test.config_map("a", "two"), test.deployment("web")].concat()).await;
    for (resource, name) in [("configmaps", "a"), ("deployments", "web")] {
        let metadata = test.get(resource, name).await.unwrap()["metadata"].clone();
        assert_eq!(metadata["labels"]["team"], "blue", "{resource}");
        assert_eq!(metadata["annotations"]["example.com/note"], "hello", "{resource}");
    }
    test.alice.does("label configmap/a team-").await;
    test.has("configmaps", "a", "/metadata/labels/team", json!(null)).await;
    let notes = test.events("Repaired").await;
    assert!(notes.is_empty(), "nothing was to be repaired: {notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_finalizers_may_come_and_go() {
    let test = Test::shared("foreign").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    test.alice.does(r#"patch configmap a --type=merge -p {"metadata":{"finalizers":["example.com/guard"]}}"#).await;
    test.resync("mr").await;
    test.has("configmaps", "a", "/metadata/finalizers", json!(["example.com/guard"])).await;
    test.alice.does(r#"patch configmap a --type=merge -p {"metadata":{"finalizers":null}}"#).await;
    test.has("configmaps", "a", "/metadata/finalizers", json!(null)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_object_shows_who_manages_it() {
    let test = Test::shared("marks").await;
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).await;
    for (resource, name) in [("configmaps", "a"), ("deployments", "web")] {
        let metadata = test.get(resource, name).await.unwrap()["metadata"].clone();
        assert_eq!(metadata["labels"]["resources.gardener.cloud/managed-by"], "gardener");
        assert_eq!(metadata["annotations"]["resources.gardener.cloud/origin"], format!("{}/mr", test.ns));
        let description = metadata["annotations"]["resources.gardener.cloud/description"].as_str().unwrap();
        assert!(description.starts_with("DO NOT EDIT"), "{description}");
        let managers: Vec<_> = metadata["managedFields"].as_array().unwrap().iter().collect();
        assert!(managers.iter().any(|entry| entry["manager"] == "holdfast" && entry["operation"] == "Apply"));
    }
    let template = test.get("deployments", "web").await.unwrap()["spec"]["template"]["metadata"].clone();
    assert_eq!(template["labels"], json!({"app": "web", "resources.gardener.cloud/managed-by": "gardener"}));

    let mr = test.get("managedresources", "mr").await.unwrap();
    let entry = &mr["status"]["resources"].as_array().unwrap()[0];
    assert_eq!((&entry["kind"], &entry["resource"]), (&json!("ConfigMap"), &json!("configmaps")), "{entry}");
    assert_eq!(entry["source"], "mr/objects.yaml", "{entry}");
}
