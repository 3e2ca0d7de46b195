//! What passes: the control plane's own controllers, children of managed objects, deletion of namespaces.
use std::time::Duration;

use holdfast_e2e::audit::AuditLog;
use serde_json::{Value, json};

use crate::harness::{Test, text};

#[tokio::test(flavor = "multi_thread")]
async fn controllers_of_the_control_plane_are_not_refused() {
    let test = Test::shared("exempt").await;
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).await;
    let uid = test.uid("configmaps", "a").await;
    let account = "--as=system:serviceaccount:kube-system";
    test.admin.does(&format!("delete configmap a --wait=false {account}:namespace-controller")).await;
    test.eventually("the ConfigMap to be back", || async {
        let object = test.try_get("configmaps", "a").await?.ok_or("it is not there")?;
        if object["metadata"]["uid"] == uid.as_str() { Err("it is the old one".into()) } else { Ok(()) }
    })
    .await;

    // The garbage collector may patch everything (to orphan objects).
    let patch = r#"{"data":{"k":"x"}}"#;
    test.admin.does(&format!("patch configmap a -p {patch} {account}:generic-garbage-collector")).await;
    test.has("configmaps", "a", "/data/k", "one").await;

    // These two may only replace.
    let image = "/spec/template/spec/containers/0/image";
    let mut deployment = test.get("deployments", "web").await.unwrap();
    let before = deployment["metadata"]["generation"].as_i64();
    deployment["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    *deployment.pointer_mut(image).unwrap() = "other".into();
    let words = format!("replace {account}:deployment-controller");
    test.admin.send(&words, &deployment.to_string()).await.success().unwrap();
    test.has("deployments", "web", image, "nginx").await;
    assert_eq!(test.get("deployments", "web").await.unwrap()["metadata"]["generation"].as_i64(), before.map(|g| g + 2));

    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web", "namespace": test.ns},
        "spec": {"replicas": 4}});
    let address = format!("/apis/apps/v1/namespaces/{}/deployments/web/scale", test.ns);
    let words = format!("replace --raw={address} {account}:horizontal-pod-autoscaler");
    let answer = test.admin.send(&words, &scale.to_string()).await.success().unwrap();
    assert!(answer.contains(r#""replicas":4"#), "{answer}");
    test.has("deployments", "web", "/spec/replicas", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_garbage_collector_is_not_refused() {
    let test = Test::shared("garbage").await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}});
    let owner = text(&test.create("configmaps", &owner).await, "/metadata/uid");
    let references =
        format!("metadata:\n  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {owner}}}]\n");
    let orphan = test.config_map("owned", "one").replace("metadata:\n", &references);
    test.declare("mr", &[orphan, test.config_map("stays", "one")].concat()).await;
    test.has("configmaps", "owned", "/metadata/ownerReferences/0/uid", owner).await;

    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    test.delete("configmaps", "owner").await;
    let collector = "system:serviceaccount:kube-system:generic-garbage-collector";
    let mut seen = Vec::new();
    let log = &mut log;
    let seen = &mut seen;
    for _ in 0..300 {
        seen.extend(
            log.read_of(collector)
                .unwrap()
                .into_iter()
                .filter(|request| request.verb == "delete" && request.namespace == test.ns && request.name == "owned"),
        );
        if !seen.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        seen.first().map(|request| request.code),
        Some(200),
        "the garbage collector deletes what lost its owner"
    );
    test.secret("mr", &test.config_map("stays", "one")).await;
    test.gone("configmaps", "owned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_managed_objects_are_nobodys_business() {
    let test = Test::shared("children").await;
    let service = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: {}}}, spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}}}",
        test.ns
    );
    test.declare("mr", &[test.deployment("web"), service].concat()).await;
    let first = |list: Vec<Value>| list.first().map(|object| text(object, "/metadata/name"));
    for (resource, extra) in [("pods", "--wait=false"), ("endpointslices", ""), ("replicasets", "--cascade=foreground")]
    {
        let name = test
            .eventually(&format!("{resource} to appear"), || async {
                first(test.list(resource).await).ok_or(String::new())
            })
            .await;
        let uid = test.uid(resource, &name).await;
        test.alice.does(&format!("label {resource} {name} touched=yes")).await;
        test.alice.does(&format!("delete {resource} {name} {extra}")).await;
        test.eventually(&format!("another one of {resource}"), || async {
            let rest = test.list(resource).await;
            let another = rest.iter().any(|object| object["metadata"]["uid"] != uid.as_str());
            if another { Ok(()) } else { Err(format!("{} there", rest.len())) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_with_managed_objects_can_be_deleted() {
    let test = Test::shared("home").await;
    // Once with the ManagedResource elsewhere, once with it inside.
    let other = Test::on(test.cluster.clone(), "guest").await;
    let content = |test: &Test| [test.config_map("a", "one"), test.deployment("web")].concat();
    test.declare("mr", &[content(&other), test.config_map("here", "one")].concat()).await;
    other.declare("inside", &other.config_map("b", "one")).await;

    other.admin.does(&format!("delete namespace {} --wait --timeout=60s", other.ns)).await;
    test.message("mr", "ApplyFailed", &[&other.ns]).await;
    assert!(test.get("configmaps", "here").await.is_some());

    test.secret("mr", &test.config_map("here", "two")).await;
    test.applied("mr").await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("configmaps", "here").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_comes_back_is_filled_again() {
    let test = Test::shared("home").await;
    let other = Test::on(test.cluster.clone(), "guest").await;
    test.declare("mr", &other.config_map("a", "one")).await;
    other.admin.does(&format!("delete namespace {} --wait --timeout=60s", other.ns)).await;
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other.ns}});
    other.create("namespaces", &body).await;
    // A failed ManagedResource is tried again with growing delays; this one is asked to hurry.
    test.resync("mr").await;
    other.has("configmaps", "a", "/data/k", "one").await;
}
