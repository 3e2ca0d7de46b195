//! Create, update, prune, delete; finalizers, missing Secrets, objects to be kept.
use serde_json::json;

use crate::harness::{Manifest as _, Test};

#[tokio::test(flavor = "multi_thread")]
async fn objects_follow_their_manifests_until_the_end() {
    let test = Test::shared("lifecycle").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    let uid = test.uid("configmaps", "a").await;

    test.redeclare("mr", &[test.config_map("a", "two"), test.config_map("c", "one")].concat()).await;
    assert_eq!(test.get("configmaps", "a").await.unwrap()["data"], json!({"k": "two"}));
    assert_eq!(test.uid("configmaps", "a").await, uid, "an update does not replace the object");
    assert!(test.get("configmaps", "b").await.is_none(), "b is pruned");
    assert!(test.get("configmaps", "c").await.is_some());

    // The manifests are gone before the ManagedResource is: its inventory is enough.
    let warned = test.alice.does("delete secret mr").await;
    assert!(warned.contains("is referenced by ManagedResource"), "{warned}");
    test.alice.does("delete managedresource mr --timeout=45s").await;
    for name in ["a", "c"] {
        assert!(test.get("configmaps", name).await.is_none(), "{name} is gone before the ManagedResource is");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_leave_the_manifest_leave_the_object() {
    let test = Test::shared("fields").await;
    let manifest = |data: &str, labels: &str| {
        format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a, namespace: {}, labels: {labels}}}, data: {data}}}",
            test.ns
        )
    };
    test.declare("mr", &manifest("{x: '1', y: '2'}", "{l: m}")).await;
    test.redeclare("mr", &manifest("{x: '1'}", "{}")).await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(object["data"], json!({"x": "1"}));
    assert_eq!(object["metadata"]["labels"]["l"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_holds_up_only_its_object() {
    let test = Test::shared("finalizer").await;
    let managed = test.config_map("held", "one").with_metadata("finalizers: [example.com/hold]");
    test.declare("mr", &[managed, test.config_map("free", "one"), test.config_map("stays", "one")].concat()).await;

    test.secret("mr", &test.config_map("stays", "two")).await;
    test.gone("configmaps", "free").await;
    test.has("configmaps", "stays", "/data/k", "two").await;
    let message = test.reason("mr", "DeletionPending").await;
    assert!(message.contains(&format!("v1/ConfigMap/{}/held", test.ns)), "{message}");
    assert!(test.get("configmaps", "held").await.unwrap()["metadata"]["deletionTimestamp"].is_string());

    // An object that is being deleted is nobody's to protect: whoever set the finalizer must be able to remove it.
    test.alice.does(r#"patch configmap held --type=merge -p {"metadata":{"finalizers":null}}"#).await;
    test.gone("configmaps", "held").await;
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_holds_up_the_deletion_of_the_managed_resource() {
    let test = Test::shared("finalizer").await;
    let managed = test.config_map("held", "one").with_metadata("finalizers: [example.com/hold]");
    test.declare("mr", &[managed, test.config_map("free", "one")].concat()).await;
    test.alice.does("delete managedresource mr --wait=false").await;
    test.gone("configmaps", "free").await;
    test.message("mr", "DeletionPending", &["Could not clean all old resources", "/held"]).await;
    test.alice.does(r#"patch configmap held --type=merge -p {"metadata":{"finalizers":null}}"#).await;
    test.gone("managedresources", "mr").await;
    assert!(test.get("configmaps", "held").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_may_come_after_the_managed_resource() {
    let test = Test::shared("later").await;
    test.mr("mr", &["mr"], json!({})).await;
    let message = test.reason("mr", "CannotReadSecret").await;
    assert!(message.contains(&format!("Secret {}/mr does not exist", test.ns)), "{message}");
    test.secret("mr", &test.config_map("a", "one")).await;
    test.has("configmaps", "a", "/data/k", "one").await;
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_while_a_secret_is_missing() {
    let test = Test::shared("missing").await;
    test.secret("one", &test.config_map("a", "one")).await;
    test.secret("two", &[test.config_map("b", "one"), test.config_map("c", "one")].concat()).await;
    test.mr("mr", &["one", "two"], json!({})).await;
    test.applied("mr").await;
    let before = [test.uid("configmaps", "b").await, test.uid("configmaps", "c").await];

    test.alice.does("delete secret two").await;
    test.reason("mr", "CannotReadSecret").await;
    test.secret("one", &test.config_map("a", "two")).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    let message = test.reason("mr", "CannotReadSecret").await;
    assert!(message.contains("Pruning is held back meanwhile: 2 objects"), "{message}");

    test.secret("two", &test.config_map("b", "two")).await;
    test.applied("mr").await;
    test.has("configmaps", "b", "/data/k", "two").await;
    test.gone("configmaps", "c").await;
    assert_eq!(test.uid("configmaps", "b").await, before[0], "it was never deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_to_be_kept_stay_and_belong_to_nobody() {
    let test = Test::shared("keep").await;
    test.declare("mr", &test.config_map("a", "one")).with("keepObjects", true).await;
    let uid = test.uid("configmaps", "a").await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert_eq!(test.uid("configmaps", "a").await, uid);
    test.alice.does(r#"patch configmap a -p {"data":{"k":"mine"}}"#).await;
    test.alice.does("delete configmap a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_keep_object_survives_pruning_and_deletion() {
    let test = Test::shared("keep").await;
    let retained = |name: &str| {
        let annotation = "metadata:\n  annotations: {resources.gardener.cloud/keep-object: \"true\"}\n";
        test.config_map(name, "one").replace("metadata:\n", annotation)
    };
    test.declare("mr", &[retained("pruned"), retained("last"), test.config_map("other", "one")].concat()).await;
    let uids = [test.uid("configmaps", "pruned").await, test.uid("configmaps", "last").await];
    test.redeclare("mr", &[retained("last"), test.config_map("other", "one")].concat()).await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("configmaps", "other").await.is_none());
    assert_eq!([test.uid("configmaps", "pruned").await, test.uid("configmaps", "last").await], uids);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_injected_into_templates() {
    let test = Test::shared("inject").await;
    test.declare("mr", &[test.deployment("web"), test.config_map("a", "one")].concat())
        .with("injectLabels", json!({"team": "blue"}))
        .await;
    test.has("configmaps", "a", "/metadata/labels/team", "blue").await;
    test.has("deployments", "web", "/spec/template/metadata/labels/team", "blue").await;
    test.has("deployments", "web", "/spec/selector/matchLabels", json!({"app": "web"})).await;
    test.eventually("two Pods with the label", || async {
        let pods = test.list("pods").await;
        let labelled = pods.iter().filter(|pod| pod["metadata"]["labels"]["team"] == "blue").count();
        if labelled == 2 { Ok(()) } else { Err(format!("{labelled} of {}", pods.len())) }
    })
    .await;

    test.mr("mr", &["mr"], json!({"injectLabels": {"team": "red"}})).await;
    test.applied("mr").await;
    test.has("configmaps", "a", "/metadata/labels/team", "red").await;
}
