//! What Secrets and ManagedResources ask for that they cannot or should not have, told when they are written.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use holdfast_e2e::cache;
use serde_json::{Value, json};

use crate::harness::{SYSTEM, Test, printed};

fn secret(name: &str, content: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"objects.yaml": content}})
        .to_string()
}

fn managed_resource(name: &str, secret: &str, spec: Value) -> String {
    let mut spec = spec;
    spec["secretRefs"] = json!([{"name": secret}]);
    json!({"apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource", "metadata": {"name": name}, "spec": spec}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_one_holds_is_said() {
    let test = Test::shared("others").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    test.alice
        .sends("create", &secret("second", &[test.config_map("a", "two"), test.config_map("b", "two")].concat()))
        .await;
    let managed = format!("ConfigMap {0}/a is held by ManagedResource {0}/mr", test.ns);
    test.eventually("a warning", || async {
        let output = test.alice.send("create --dry-run=server", &managed_resource("second", "second", json!({}))).await;
        if output.status.success() && printed(&output).contains(&managed) { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    test.alice.sends("create", &managed_resource("second", "second", json!({}))).await;
    // For the Secret of one that is there, too.
    test.eventually("a warning for the Secret", || async {
        let reported = secret("second", &[test.config_map("a", "three"), test.config_map("b", "two")].concat());
        let output = test.alice.send("replace --dry-run=server", &reported).await;
        if output.status.success() && printed(&output).contains(&managed) { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    let own = test.alice.sends("replace --dry-run=server", &secret("mr", &test.config_map("a", "four"))).await;
    assert!(!own.contains("is held by"), "{own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_and_the_cluster_live_in_is_refused() {
    let test = Test::shared("ours").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let ours = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: holdfast-webhook, namespace: holdfast-system}, spec: {}}";
    test.alice.send_is_refused("replace", &secret("mr", ours), &["belongs to Holdfast itself"]).await;
    let hook = "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: holdfast}}";
    test.alice.send_is_refused("replace", &secret("mr", hook), &["belongs to Holdfast itself"]).await;
    let space = "{apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}";
    test.alice.send_is_refused("replace", &secret("mr", space), &["is what the cluster lives in"]).await;
    let retained = "{apiVersion: v1, kind: Namespace, metadata: {name: kube-system, annotations: {resources.gardener.cloud/keep-object: 'true'}}}";
    test.alice.sends("replace --dry-run=server", &secret("mr", retained)).await;
    // By the ManagedResource that names such a Secret, as well.
    test.alice.sends("create", &secret("loose", space)).await;
    test.alice
        .send_is_refused("create", &managed_resource("second", "loose", json!({})), &["is what the cluster lives in"])
        .await;
}

/// Everything that the chart installs, whatever its values: dropping it would take us along.
#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_the_installation_is_refused() {
    let test = Test::shared("chart").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let system = Test::within(test.cluster.clone(), SYSTEM);
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    let mut objects = BTreeMap::new();
    for values in [
        "guard.enabled=true,networkPolicy.enabled=true,metrics.podMonitor.enabled=true,controller.replicas=2",
        "rbac.controller.clusterAdmin=false,controller.config.controllers.clusterID=<default>",
        "controller.config.sourceClientConnection.namespaces={garden},rbac.controller.clusterAdmin=false",
        "clusters.role=Target,clusters.advertiseURL=https://192.0.2.1,clusters.targetUsers={ours},guard.enabled=true",
    ] {
        let rendered = system.admin.helm(&["template", "holdfast", &chart, "--set", values]).await.success().unwrap();
        for document in serde_yaml::Deserializer::from_str(&rendered) {
            let object: Value = serde::Deserialize::deserialize(document).unwrap();
            if object.is_object() {
                let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
                objects.insert(name, object);
            }
        }
    }
    assert!(objects.len() >= 22, "{:?}", objects.keys());
    for (name, mut object) in objects {
        // Its content is not in question.
        let metadata = json!({"name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"]});
        object = json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata});
        let output = test.alice.send("replace --dry-run=server", &secret("mr", &object.to_string())).await;
        let answer = printed(&output);
        assert!(answer.contains("belongs to Holdfast itself"), "{name} is not refused: {answer}");
    }
    let home = |annotations: &str| {
        format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {SYSTEM}, annotations: {{{annotations}}}}}}}")
    };
    test.alice
        .send_is_refused("replace --dry-run=server", &secret("mr", &home("")), &["what Holdfast itself lives in"])
        .await;
    let retained = home("resources.gardener.cloud/keep-object: 'true'");
    test.alice.sends("replace --dry-run=server", &secret("mr", &retained)).await;
}

/// As the API server reads them: it would refuse the objects.
#[tokio::test(flavor = "multi_thread")]
async fn labels_and_annotations_that_no_object_can_have_are_refused() {
    let test = Test::shared("syntax").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let with =
        |metadata: &str| test.config_map("b", "one").replace("  name: b\n", &format!("  name: b\n  {metadata}\n"));
    for (metadata, part) in [
        ("labels: {a: 'b c'}", "label: the value of a is not valid"),
        ("labels: {'a b': c}", "label: the name \"a b\" is not valid"),
        ("annotations: {'-': c}", "annotation: the name \"-\" is not valid"),
    ] {
        let line = format!("- key \"objects.yaml\", document 1, line 1: ConfigMap {}/b: {part}", test.ns);
        test.alice.send_is_refused("replace", &secret("mr", &with(metadata)), &[&line]).await;
        // The server is of the same mind.
        let output = test.admin.send("create --dry-run=server --validate=false", &with(metadata)).await;
        assert!(!output.status.success(), "{metadata}: {}", printed(&output));
    }
    for metadata in ["labels: {example.com/a: '', b: x}", "annotations: {Example.com/A: 'b c'}"] {
        test.alice.sends("replace --dry-run=server", &secret("mr", &with(metadata))).await;
        let output = test.admin.send("create --dry-run=server --validate=false", &with(metadata)).await;
        assert!(output.status.success(), "{metadata}: {}", printed(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_status_can_hold_is_refused_with_the_number() {
    let test = Test::shared("too-many").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let note = "x".repeat(700);
    let many = (0..1200).fold(String::new(), |mut all, number| {
        let metadata = json!({"name": format!("c{number}"), "namespace": test.ns, "annotations": {"note": note}});
        let _ = write!(all, "{}\n---\n", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}));
        all
    });
    test.alice.sends("create", &secret("many", &many)).await;
    let too_many = "1200 objects are too many";
    // A busy machine may need longer for it than the webhook has: then it passes with a warning.
    for (words, body) in [
        ("replace --dry-run=server", secret("mr", &many)),
        ("create --dry-run=server", managed_resource("many", "many", json!({}))),
    ] {
        test.eventually("the number to be told", || async {
            let refusal = test.alice.send(words, &body).await.refusal().map_err(|error| error.to_string())?;
            if refusal.contains(too_many) { Ok(()) } else { Err(refusal) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn useless_namespaces_and_changes_of_the_class_are_said() {
    let test = Test::shared("said").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let role = format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {0}, namespace: {0}}}}}",
        test.ns
    );
    let reported = test.alice.sends("replace --dry-run=server", &secret("mr", &role)).await;
    assert!(reported.contains("are in no namespace (it has no effect)"), "{reported}");

    test.eventually("the webhook to know", || async {
        let change = managed_resource("mr", "mr", json!({"class": "elsewhere"}));
        let output = test.alice.send("apply --dry-run=server", &change).await;
        let reported = printed(&output);
        let is_it = reported.contains("the class changes from \"resources\" to \"elsewhere\"")
            && reported.contains("deletes the 1 object");
        if is_it { Ok(()) } else { Err(reported) }
    })
    .await;
    let retained = managed_resource("mr", "mr", json!({"class": "elsewhere", "keepObjects": true}));
    let reported = test.alice.sends("apply --dry-run=server", &retained).await;
    assert!(reported.contains("leaves the 1 object"), "{reported}");
}

/// Whatever is wrong with the content: metadata, dry runs and deletion are not in question.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_a_bad_secret_may_be_changed_and_it_may_be_deleted() {
    let test = Test::shared("stuck-not").await;
    // Nobody references it yet, so nobody looks.
    let bad = "{apiVersion: v1, kind: ConfigMap, metadata: {name: b, labels: {a: b c}}}";
    test.alice.sends("create", &secret("bad", bad)).await;
    test.alice.does("label secret bad team=x").await;
    let early = json!({"apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource", "metadata": {"name": "early"}, "spec": {"secretRefs": [{"name": "late"}]}});
    test.alice.sends("create", &early.to_string()).await;
    test.alice.send_is_refused("create", &secret("late", bad), &["label: the value of a is not valid"]).await;
    test.alice
        .send_is_refused("create --dry-run=server", &secret("late", bad), &["label: the value of a is not valid"])
        .await;
    test.alice.sends("create", &secret("late", &test.config_map("a", "one"))).await;
    test.applied("early").await;
    test.alice.does("annotate secret late note=x").await;
    test.alice.does("annotate managedresource early note=x").await;
    test.alice.does(&format!("delete namespace {} --wait=false", test.ns)).await;
    test.gone("namespaces", &test.ns).await;
}
