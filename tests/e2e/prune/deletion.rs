//! What is deleted, in which order, and what is said meanwhile.
use serde_json::{Value, json};

use crate::harness::{KEEP, Manifest as _, Test, nothing_happens_for, text};

fn stateful_set(test: &Test, name: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: {name}, namespace: {}}}\nspec:\n  serviceName: {name}\n  replicas: 2\n  \
         podManagementPolicy: Parallel\n  selector: {{matchLabels: {{app: db}}}}\n  template:\n    metadata: {{labels: {{app: db}}}}\n    \
         spec: {{containers: [{{name: main, image: nginx}}]}}\n  volumeClaimTemplates:\n  - metadata: {{name: data}}\n    spec:\n      \
         accessModes: [ReadWriteOnce]\n      resources: {{requests: {{storage: 1Gi}}}}\n---\n",
        test.ns
    )
}

async fn claims(test: &Test, count: usize) -> Vec<String> {
    test.eventually(&format!("{count} claims"), || async {
        let claims = test.list("persistentvolumeclaims").await;
        let names: Vec<String> = claims.iter().map(|claim| text(claim, "/metadata/name")).collect();
        if names.len() == count { Ok(names) } else { Err(format!("{names:?}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_a_stateful_set_go_with_it_where_that_is_wanted() {
    let test = Test::shared("claims").await;
    // It looks like one of the StatefulSet's, but is not: the original deletes it.
    let other = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "other", "labels": {"app": "db"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    test.create("persistentvolumeclaims", &other).await;
    test.declare("mr", &[stateful_set(&test, "db"), test.config_map("a", "one")].concat())
        .with("deletePersistentVolumeClaims", true)
        .await;
    claims(&test, 3).await;
    test.redeclare("mr", &test.config_map("a", "two")).await;
    assert!(test.get("statefulsets", "db").await.is_none());
    assert_eq!(claims(&test, 1).await, ["other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_a_stateful_set_stay_otherwise() {
    let test = Test::shared("claims").await;
    test.declare("mr", &[stateful_set(&test, "db"), test.config_map("a", "one")].concat()).await;
    claims(&test, 2).await;
    test.redeclare("mr", &test.config_map("a", "two")).await;
    assert!(test.get("statefulsets", "db").await.is_none());
    assert_eq!(claims(&test, 2).await, ["data-db-0", "data-db-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_go_with_the_managed_resource_too() {
    let test = Test::shared("claims").await;
    test.declare("mr", &stateful_set(&test, "db")).with("deletePersistentVolumeClaims", true).await;
    claims(&test, 2).await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    claims(&test, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_others_want_kept_is_named_and_kept() {
    let test = Test::shared("keep").await;
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).mode("Off").await;
    for (resource, object) in [("configmap a", "ConfigMap"), ("deployment web", "Deployment.apps")] {
        test.alice.does(&format!("annotate {resource} {KEEP}=true")).await;
        let note = format!(
            "{object} {}/{} is to be kept, because others have set annotation {KEEP} on it",
            test.ns,
            resource.split(' ').next_back().unwrap()
        );
        test.message("mr", "ApplySucceeded", &[&note]).await;
    }
    test.resync("mr").await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(object["metadata"]["annotations"][KEEP], "true", "it is not taken off");

    test.redeclare("mr", &test.deployment("web")).await;
    test.eventually("an Event that says so", || async {
        let reported = test.events("Kept").await;
        if reported.iter().any(|note| note.contains("/a is not deleted")) {
            Ok(())
        } else {
            Err(format!("{reported:?}"))
        }
    })
    .await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("configmaps", "a").await.is_some());
    assert!(test.get("deployments", "web").await.is_some());

    // Gone again, and not named any more.
    let test = Test::shared("keep").await;
    test.declare("mr", &test.deployment("web")).mode("Off").await;
    test.alice.does(&format!("annotate deployment web {KEEP}=true")).await;
    test.message("mr", "ApplySucceeded", &["is to be kept"]).await;
    test.alice.does(&format!("annotate deployment web {KEEP}-")).await;
    test.eventually("the condition to say nothing of it", || async {
        let message = test.reason("mr", "ApplySucceeded").await;
        if message == "All resources are applied." { Ok(()) } else { Err(message) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_objects_is_not_about_pruning() {
    let test = Test::shared("keep").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat())
        .with("keepObjects", true)
        .await;
    test.redeclare("mr", &test.config_map("a", "one")).await;
    test.gone("configmaps", "b").await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    let object = test.get("configmaps", "a").await.unwrap();
    let annotations = &object["metadata"]["annotations"];
    assert_eq!(annotations["resources.gardener.cloud/origin"], format!("{}/mr", test.ns), "as it was");
}

/// As long as no setting says that there is a garbage collector.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_be_garbage_is_deleted_like_anything_else() {
    let test = Test::shared("garbage").await;
    let label = "metadata:\n  labels: {resources.gardener.cloud/garbage-collectable-reference: 'true'}\n";
    let manifest = test.config_map("a", "one").replace("metadata:\n", label);
    test.declare("mr", &[manifest, test.config_map("b", "one")].concat()).await;
    test.redeclare("mr", &test.config_map("b", "one")).await;
    test.gone("configmaps", "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_deleted_in_the_reverse_order() {
    let test = Test::shared("order").await;
    let web = test.deployment("web").replacen("metadata:\n", "metadata:\n  finalizers: [example.com/hold]\n", 1);
    test.declare("mr", &[web, test.config_map("a", "one")].concat()).await;
    test.alice.does("delete managedresource mr --wait=false").await;
    let expected = format!(
        "Could not clean all old resources: 1 error occurred: deletion of old resource \"apps/v1/Deployment/{0}/web\" is still pending \
         (ConfigMap {0}/a waits for it)",
        test.ns
    );
    let message = test.message("mr", "DeletionPending", &["web"]).await;
    assert_eq!(message, expected);
    for (type_, status) in [("ResourcesHealthy", "False"), ("ResourcesProgressing", "True")] {
        let mr = test.get("managedresources", "mr").await.unwrap();
        let conditions = mr["status"]["conditions"].as_array().unwrap().clone();
        let condition = conditions.iter().find(|condition| condition["type"] == type_).unwrap();
        assert_eq!((&condition["status"], &condition["reason"]), (&json!(status), &json!("DeletionPending")));
    }
    // Two more looks.
    nothing_happens_for(std::time::Duration::from_secs(11), "what workloads need is deleted").await;
    let object = test.get("configmaps", "a").await.expect("what workloads need outlives them");
    assert_eq!(object["metadata"]["deletionTimestamp"], Value::Null);
    test.merge("deployments", "web", "somebody", &json!({"metadata": {"finalizers": null}})).await;
    test.gone("managedresources", "mr").await;
    assert!(test.get("configmaps", "a").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_deletions_are_named_as_the_original_does() {
    let test = Test::shared("pending").await;
    let finalizers = "finalizers: [example.com/hold]";
    let class = format!(
        "{{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {{name: {}, {finalizers}}}, value: 1}}\n---\n",
        test.ns
    );
    let managed = test.config_map("held", "one").with_metadata(finalizers);
    test.declare("mr", &[managed, class, test.config_map("a", "one")].concat()).await;
    test.secret("mr", &test.config_map("a", "one")).await;
    let pending = |object: &str| format!("deletion of old resource \"{object}\" is still pending");
    let (map, class) =
        (format!("v1/ConfigMap/{}/held", test.ns), format!("scheduling.k8s.io/v1/PriorityClass/default/{}", test.ns));
    let expected =
        format!("Could not clean all old resources: 2 errors occurred: [{}, {}]", pending(&class), pending(&map));
    test.message("mr", "DeletionPending", &[&expected]).await;
    test.merge("configmaps", "held", "somebody", &json!({"metadata": {"finalizers": null}})).await;
    let none = r#"{"metadata":{"finalizers":null}}"#;
    test.admin.does(&format!("patch priorityclass {} --type=merge -p {none}", test.ns)).await;
    test.applied("mr").await;
}
