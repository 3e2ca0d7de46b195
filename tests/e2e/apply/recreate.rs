//! Updates that the server does not accept, and objects that are deleted and created again for it.
use serde_json::{Value, json};

use crate::harness::{Manifest as _, Test, text, within};

const RECREATE: &str = "resources.gardener.cloud/delete-on-invalid-update: 'true'";
const PROPAGATION: &str = "resources.gardener.cloud/deletion-propagation-on-invalid-update";
/// Attempts are made with growing delays; these have grown.
const BACK: std::time::Duration = std::time::Duration::from_secs(70);

/// A Deployment whose selector, which cannot be changed, is this.
fn deployment(test: &Test, selector: &str, annotations: &str) -> String {
    let manifest = test.deployment("web").replace("app: web", &format!("app: {selector}"));
    manifest.replacen("metadata:\n", &format!("metadata:\n  annotations: {{{annotations}}}\n"), 1)
}

fn immutable(test: &Test, kind: &str, value: &str) -> String {
    let field = if kind == "Secret" { "stringData" } else { "data" };
    format!(
        "{{apiVersion: v1, kind: {kind}, metadata: {{name: frozen, namespace: {}}}, immutable: true, {field}: {{k: {value}}}}}\n---\n",
        test.ns
    )
}

/// Waits until there is an object of this name and another uid.
async fn anew(test: &Test, resource: &str, name: &str, uid: &str) -> Value {
    within(BACK, &format!("{name} to be created anew"), || async {
        let object = test.try_get(resource, name).await?.ok_or("it is not there")?;
        if text(&object, "/metadata/uid") == uid { Err(object["metadata"].to_string()) } else { Ok(object) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn immutable_configuration_is_deleted_and_created_again() {
    let test = Test::shared("immutable").await;
    for (kind, resource, expected) in [("ConfigMap", "configmaps", "two"), ("Secret", "secrets", "dHdv")] {
        // One each: a condition of before would be taken for one of now.
        test.declare(resource, &immutable(&test, kind, "one")).await;
        let uid = test.uid(resource, "frozen").await;
        test.redeclare(resource, &immutable(&test, kind, "two")).await;
        let object = test.get(resource, "frozen").await.unwrap();
        assert_eq!(object["data"]["k"], expected, "{object}");
        assert_ne!(text(&object, "/metadata/uid"), uid);
    }
    test.eventually("Events that say so", || async {
        let reported = test.events("Replaced").await;
        if reported.iter().any(|note| note.contains("frozen")) { Ok(()) } else { Err(format!("{reported:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_annotation_an_invalid_update_only_fails() {
    let test = Test::shared("invalid").await;
    test.declare("mr", &[deployment(&test, "one", "a: b"), test.config_map("other", "one")].concat()).await;
    let uid = test.uid("deployments", "web").await;
    test.secret("mr", &[deployment(&test, "two", "a: b"), test.config_map("other", "two")].concat()).await;
    test.message("mr", "ApplyFailed", &["Deployment.apps", "document 1", "spec.selector", "field is immutable"]).await;
    test.has("configmaps", "other", "/data/k", "two").await;
    assert_eq!(test.uid("deployments", "web").await, uid);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_annotation_it_is_deleted_and_created_again() {
    let test = Test::shared("invalid").await;
    test.declare("mr", &deployment(&test, "one", RECREATE)).await;
    let uid = test.uid("deployments", "web").await;
    test.eventually("a ReplicaSet", || async {
        if test.list("replicasets").await.is_empty() { Err("there is none") } else { Ok(()) }.map_err(str::to_owned)
    })
    .await;
    test.secret("mr", &deployment(&test, "two", RECREATE)).await;
    let web = anew(&test, "deployments", "web", &uid).await;
    assert_eq!(web["spec"]["selector"]["matchLabels"]["app"], "two");
    test.applied("mr").await;
    test.eventually("the ReplicaSet of the old one to be collected", || async {
        let selected = |set: &Value| text(set, "/spec/selector/matchLabels/app");
        let sets: Vec<String> = test.list("replicasets").await.iter().map(selected).collect();
        if sets == ["two"] { Ok(()) } else { Err(format!("{sets:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_propagation_policy_of_the_annotation_counts() {
    let test = Test::shared("orphaned").await;
    let annotations = format!("{RECREATE}, {PROPAGATION}: Orphan");
    test.declare("mr", &deployment(&test, "one", &annotations)).await;
    let uid = test.uid("deployments", "web").await;
    let old = test
        .eventually("a ReplicaSet", || async {
            let sets = test.list("replicasets").await;
            sets.first().map(|set| text(set, "/metadata/name")).ok_or_else(|| "there is none".to_owned())
        })
        .await;
    test.secret("mr", &deployment(&test, "two", &annotations)).await;
    anew(&test, "deployments", "web", &uid).await;
    test.applied("mr").await;
    let orphan = test.get("replicasets", &old).await.expect("its ReplicaSet stays");
    assert_eq!(orphan["metadata"]["ownerReferences"], Value::Null, "{orphan}");

    // Foreground: the object waits for what belongs to it.
    let annotations = format!("{RECREATE}, {PROPAGATION}: Foreground");
    test.redeclare("mr", &deployment(&test, "two", &annotations)).await;
    let uid = test.uid("deployments", "web").await;
    test.secret("mr", &deployment(&test, "three", &annotations)).await;
    let web = anew(&test, "deployments", "web", &uid).await;
    assert_eq!(web["spec"]["selector"]["matchLabels"]["app"], "three");
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_propagation_policy_that_there_is_not_deletes_nothing() {
    let test = Test::shared("policy").await;
    let annotations = format!("{RECREATE}, {PROPAGATION}: orphan");
    test.declare("mr", &deployment(&test, "one", &annotations)).await;
    let uid = test.uid("deployments", "web").await;
    let why = "\"orphan\" is invalid, supported values: [Background Foreground Orphan]";
    test.message("mr", "ApplySucceeded", &[&format!("annotation {PROPAGATION}: {why}")]).await;
    test.secret("mr", &deployment(&test, "two", &annotations)).await;
    let object = format!("invalid deletion propagation policy on object Deployment.apps {}/web: {why}", test.ns);
    test.message("mr", "ApplyFailed", &[&object, "field is immutable"]).await;
    assert_eq!(test.uid("deployments", "web").await, uid);
}

/// Whoever may annotate an object must not be able to have it deleted.
#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_of_others_deletes_nothing() {
    let test = Test::shared("forced").await;
    test.declare("mr", &deployment(&test, "one", "a: b")).mode("Off").await;
    test.alice.does("annotate deployment web resources.gardener.cloud/delete-on-invalid-update=true").await;
    let uid = test.uid("deployments", "web").await;
    test.secret("mr", &deployment(&test, "two", "a: b")).await;
    test.message("mr", "ApplyFailed", &["field is immutable"]).await;
    assert_eq!(test.uid("deployments", "web").await, uid);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_not_deleted_to_be_replaced() {
    let test = Test::shared("theirs").await;
    let theirs = deployment(&test, "theirs", "a: b");
    test.alice.send("create", &theirs).await.success().unwrap();
    let uid = test.uid("deployments", "web").await;
    test.declare("mr", &deployment(&test, "ours", RECREATE)).write().await;
    test.message("mr", "ApplyFailed", &["carries nothing of ours", "field is immutable"]).await;
    assert_eq!(test.uid("deployments", "web").await, uid);
}

/// Deleted for a manifest that is wrong, it would be gone until that is mended.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_for_a_manifest_that_cannot_be_created_either() {
    let test = Test::shared("wrong").await;
    test.declare("mr", &deployment(&test, "one", RECREATE)).await;
    let uid = test.uid("deployments", "web").await;
    let wrong = deployment(&test, "two", RECREATE).replace("replicas: 2", "replicas: -1");
    test.secret("mr", &wrong).await;
    test.message("mr", "ApplyFailed", &["could not be created again", "spec.replicas"]).await;
    assert_eq!(test.uid("deployments", "web").await, uid);
    test.secret("mr", &deployment(&test, "two", RECREATE)).await;
    anew(&test, "deployments", "web", &uid).await;
    test.applied("mr").await;
}

/// The server calls what a policy refuses invalid, too.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_for_what_a_policy_refuses() {
    let test = Test::shared("policy").await;
    let place = json!({"matchLabels": {"kubernetes.io/metadata.name": test.ns}});
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"]});
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": test.ns},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "!has(object.data) || object.data.k != 'forbidden'", "message": "not this"}],
        }
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": test.ns},
        "spec": {"policyName": test.ns, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": place}}
    });
    for (plural, body) in [("validatingadmissionpolicies", &policy), ("validatingadmissionpolicybindings", &binding)] {
        test.call("POST", &format!("/apis/admissionregistration.k8s.io/v1/{plural}"), Some(body)).await.unwrap();
    }
    let manifest = |value: &str| test.config_map("a", value).with_metadata(&format!("annotations: {{{RECREATE}}}"));
    test.declare("mr", &manifest("one")).await;
    let uid = test.uid("configmaps", "a").await;
    test.eventually("the policy to be in force", || async {
        let output = test.alice.run("create configmap probe --from-literal=k=forbidden --dry-run=server").await;
        if output.status.success() { Err("it is not".to_owned()) } else { Ok(()) }
    })
    .await;
    test.secret("mr", &manifest("forbidden")).await;
    test.message("mr", "ApplyFailed", &["not this"]).await;
    assert_eq!(test.uid("configmaps", "a").await, uid);
    for plural in ["validatingadmissionpolicybindings", "validatingadmissionpolicies"] {
        test.call("DELETE", &format!("/apis/admissionregistration.k8s.io/v1/{plural}/{}", test.ns), None)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_replaced_with_the_node_port_that_it_holds() {
    let test = Test::shared("service").await;
    let service = |spec: Value| {
        let annotations = json!({"resources.gardener.cloud/delete-on-invalid-update": "true"});
        let metadata = json!({"name": "x", "namespace": test.ns, "annotations": annotations});
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}).to_string()
    };
    test.declare("mr", &service(json!({"type": "NodePort", "ports": [{"port": 80}]}))).await;
    let before = test.get("services", "x").await.unwrap();
    let uid = test.uid("services", "x").await;
    let port = &before["spec"]["ports"][0]["nodePort"];
    // Any other address than the one that it has.
    let address = if before["spec"]["clusterIP"] == "127.96.201.77" { "127.96.201.78" } else { "127.96.201.77" };
    let spec = json!({"type": "NodePort", "clusterIP": address, "ports": [{"port": 80, "nodePort": port}]});
    test.secret("mr", &service(spec)).await;
    let after = anew(&test, "services", "x", &uid).await;
    assert_eq!((&after["spec"]["clusterIP"], &after["spec"]["ports"][0]["nodePort"]), (&json!(address), port));
    test.applied("mr").await;
}
