//! What of a managed object is held against others, by scope; and of its metadata, in both.
use serde_json::{Value, json};

use crate::harness::{Test, printed};

/// A Deployment with lists of every sort: keyed by name, keyed by several fields, atomic.
fn lists(test: &Test) -> String {
    test.deployment("web").replace(
        "{name: main, image: nginx}",
        "{name: main, image: nginx, args: [a, b], ports: [{containerPort: 80}, {containerPort: 53, protocol: UDP}]}",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_scope_holds_what_is_declared_and_nothing_else() {
    let test = Test::shared("declared").await;
    let role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: r, namespace: {}}}\nrules:\n- {{apiGroups: [\"\"], resources: [pods], verbs: [get]}}\n---\n",
        test.ns
    );
    let manifests = [lists(&test), role, test.config_map("a", "one")].concat();
    test.declare("mr", &manifests).scope("Declared").await;
    let containers =
        |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}}).to_string();
    let patch = |reported: &'static str| ["patch", "deployment", "web", "-p", reported];

    test.alice.succeeds(&["patch", "configmap", "a", "-p", r#"{"data":{"more":"x"}}"#]).await;
    test.alice
        .is_refused(&["patch", "configmap", "a", "-p", r#"{"data":{"k":"x","more":"y"}}"#], &["data.k is declared"])
        .await;
    test.alice.succeeds(&patch(r#"{"spec":{"minReadySeconds":3}}"#)).await;
    // Keyed lists by their keys: another container, another port; not those that are declared.
    let added = containers(json!([{"name": "side", "image": "x"}, {"name": "main", "ports": [{"containerPort": 81}]}]));
    test.alice.succeeds(&["patch", "deployment", "web", "-p", &added]).await;
    let changed = containers(json!([{"name": "main", "image": "x"}]));
    let image = "spec.template.spec.containers[name=main].image is declared";
    test.alice.is_refused(&["patch", "deployment", "web", "-p", &changed], &[image]).await;
    let gone = containers(json!([{"name": "main", "$patch": "delete"}]));
    test.alice.is_refused(&["patch", "deployment", "web", "-p", &gone], &["containers[name=main]"]).await;
    let port = containers(json!([{"name": "main", "ports": [{"containerPort": 53, "$patch": "delete"}]}]));
    test.alice
        .is_refused(&["patch", "deployment", "web", "-p", &port], &["ports[containerPort=53,protocol=UDP]"])
        .await;
    // Atomic lists as a whole.
    let args = containers(json!([{"name": "main", "args": ["a", "b", "c"]}]));
    test.alice
        .is_refused(&["patch", "deployment", "web", "-p", &args], &["containers[name=main].args is declared"])
        .await;
    let rules = r#"[{"op":"add","path":"/rules/-","value":{"apiGroups":[""],"resources":["secrets"],"verbs":["*"]}}]"#;
    test.alice.is_refused(&["patch", "role", "r", "--type=json", "-p", rules], &["rules is declared"]).await;

    // What was added stays.
    test.resync("mr").await;
    test.has("configmaps", "a", "/data/more", "x").await;
    test.has("deployments", "web", "/spec/minReadySeconds", 3).await;
    assert!(test.events("Repaired").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_scope_holds_additions_too() {
    let test = Test::shared("exact-held").await;
    test.declare("mr", &[lists(&test), test.config_map("a", "one")].concat()).await;
    let containers =
        |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}}).to_string();
    test.alice
        .is_refused(&["patch", "configmap", "a", "-p", r#"{"data":{"more":"x"}}"#], &["data.more is not declared"])
        .await;
    test.alice.is_refused(&["patch", "configmap", "a", "-p", r#"{"binaryData":{"x":"eA=="}}"#], &["binaryData"]).await;
    test.alice
        .is_refused(&["patch", "configmap", "a", "-p", r#"{"immutable":true}"#], &["immutable is not declared"])
        .await;
    let side = containers(json!([{"name": "side", "image": "x"}]));
    let undeclared = "containers[name=side] is not declared";
    test.alice.is_refused(&["patch", "deployment", "web", "-p", &side], &[undeclared]).await;
    let port = containers(json!([{"name": "main", "ports": [{"containerPort": 81}]}]));
    test.alice.is_refused(&["patch", "deployment", "web", "-p", &port], &["ports"]).await;
    test.alice.succeeds(&["rollout", "restart", "deployment", "web"]).await;
    test.alice.succeeds(&["label", "deployment", "web", "team=x"]).await;
}

/// Through another apiVersion nobody can say which field is which, so all content is held.
#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_no_way_around() {
    let test = Test::shared("version").await;
    let scaler = format!(
        "{{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {{name: h, namespace: {}}}, spec: {{maxReplicas: 3, \
         scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: none}}, metrics: [{{type: Resource, resource: {{name: cpu, \
         target: {{type: Utilization, averageUtilization: 50}}}}}}]}}}}\n---\n",
        test.ns
    );
    test.declare("mr", &scaler).scope("Declared").await;
    let cpu = r#"{"spec":{"targetCPUUtilizationPercentage":90}}"#;
    test.alice
        .is_refused(&["patch", "horizontalpodautoscalers.v1.autoscaling", "h", "--type=merge", "-p", cpu], &["spec"])
        .await;
    test.alice.succeeds(&["label", "horizontalpodautoscalers.v1.autoscaling", "h", "team=x"]).await;
    // In the manifest's own version an addition passes.
    test.alice
        .succeeds(&[
            "patch",
            "horizontalpodautoscalers.v2.autoscaling",
            "h",
            "--type=merge",
            "-p",
            r#"{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":7}}}}"#,
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_metadata_is_held_and_other_metadata_is_not() {
    let test = Test::shared("metadata").await;
    let manifest = test.config_map("a", "one").replace(
        "  name: a\n",
        "  name: a\n  labels: {app: x}\n  annotations: {note: x}\n  finalizers: [example.com/ours]\n",
    );
    for scope in ["Exact", "Declared"] {
        test.declare("mr", &manifest).scope(scope).await;
        test.alice.is_refused(&["label", "configmap", "a", "app-"], &["metadata.labels.app is declared"]).await;
        test.alice
            .is_refused(
                &["annotate", "configmap", "a", "--overwrite", "note=y"],
                &["metadata.annotations.note is declared"],
            )
            .await;
        let gone = ["patch", "configmap", "a", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
        test.alice.is_refused(&gone, &["metadata.finalizers is declared"]).await;
        // Members of a set by their value: one more, and away with it, as long as ours stays.
        let finalizers = |list: Value| json!({"metadata": {"finalizers": list}}).to_string();
        let both = finalizers(json!(["example.com/ours", "example.com/theirs"]));
        test.alice.succeeds(&["patch", "configmap", "a", "--type=merge", "-p", &both]).await;
        let theirs = finalizers(json!(["example.com/theirs"]));
        let member = "metadata.finalizers[=example.com/ours] is declared";
        test.alice.is_refused(&["patch", "configmap", "a", "--type=merge", "-p", &theirs], &[member]).await;
        let ours = finalizers(json!(["example.com/ours"]));
        test.alice.succeeds(&["patch", "configmap", "a", "--type=merge", "-p", &ours]).await;

        test.alice.succeeds(&["label", "configmap", "a", "team=x"]).await;
        test.alice.succeeds(&["label", "configmap", "a", "team-"]).await;
        let reserved = "resources.gardener.cloud/anything";
        test.alice
            .is_refused(&["label", "configmap", "a", &format!("{reserved}=x")], &["is reserved for Holdfast"])
            .await;
        test.alice
            .is_refused(&["annotate", "configmap", "a", &format!("{reserved}=x")], &["is reserved for Holdfast"])
            .await;
        let owner = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"x"}]}}"#;
        test.alice
            .is_refused(&["patch", "configmap", "a", "--type=merge", "-p", owner], &["metadata.ownerReferences"])
            .await;
    }
    // So that it can go.
    test.redeclare("mr", &test.config_map("a", "one")).await;
    test.has("configmaps", "a", "/metadata/finalizers", Value::Null).await;
}

/// Whoever takes fields out of our entry would have them for himself later, unseen.
#[tokio::test(flavor = "multi_thread")]
async fn our_entry_in_managed_fields_is_nobody_elses() {
    let test = Test::shared("entry").await;
    let service = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: s, namespace: {}}}, spec: {{type: LoadBalancer, selector: {{app: x}}, ports: [{{port: 80}}]}}}}\n---\n",
        test.ns
    );
    test.declare("mr", &[service, test.config_map("a", "one")].concat()).scope("Declared").await;
    test.alice.does("label configmap a team=x").await;
    let entries = test.get("configmaps", "a").await.unwrap()["metadata"]["managedFields"].clone();
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut entries = entries.clone();
        let own = entries.as_array_mut().unwrap().iter_mut().find(|entry| entry["manager"] == "holdfast").unwrap();
        edit(own);
        json!({"metadata": {"managedFields": entries}}).to_string()
    };
    for (case, patch) in [
        ("cleared", json!({"metadata": {"managedFields": [{}]}}).to_string()),
        ("emptied", edited(&|own| own["fieldsV1"] = json!({}))),
        ("without data", edited(&|own| drop(own["fieldsV1"].as_object_mut().unwrap().remove("f:data")))),
        ("renamed", edited(&|own| own["manager"] = json!("alice"))),
    ] {
        let output = test.alice.with(&["patch", "configmap", "a", "--type=merge", "-p", &patch]).await;
        assert!(
            printed(&output).contains("metadata.managedFields is reserved for Holdfast"),
            "{case}: {}",
            printed(&output)
        );
    }
    assert_eq!(test.get("configmaps", "a").await.unwrap()["metadata"]["managedFields"], entries);
    // An apply in our name that adds a field, in declared scope.
    let forged = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a, namespace: {}}}, data: {{k: one, more: x}}}}",
        test.ns
    );
    let output = test.alice.send("apply --server-side --force-conflicts --field-manager=holdfast", &forged).await;
    assert!(!output.status.success(), "{}", printed(&output));
    // Through status the server takes none of it.
    let clear = r#"{"metadata":{"managedFields":[{}]}}"#;
    let before = test.get("services", "s").await.unwrap()["metadata"]["managedFields"].clone();
    let _ = test.alice.with(&["patch", "service", "s", "--subresource=status", "--type=merge", "-p", clear]).await;
    assert_eq!(test.get("services", "s").await.unwrap()["metadata"]["managedFields"], before);
    assert!(test.events("Repaired").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn forced_labels_and_annotations_are_refused_to_others() {
    let test = Test::shared("forced").await;
    let declaration = test.config_map("a", "one");
    test.declare("mr", &declaration).with("forceOverwriteLabels", true).with("forceOverwriteAnnotations", true).await;
    test.alice.is_refused(&["label", "configmap", "a", "team=x"], &["metadata.labels.team is not declared"]).await;
    test.alice
        .is_refused(&["annotate", "configmap", "a", "note=x"], &["metadata.annotations.note is not declared"])
        .await;
    test.declare("mr", &test.config_map("a", "one")).with("forceOverwriteLabels", true).await;
    test.eventually("annotations to be free", || async {
        let output = test.alice.with(&["annotate", "configmap", "a", "note=x"]).await;
        if output.status.success() { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    test.alice.is_refused(&["label", "configmap", "a", "team=x"], &["metadata.labels.team is not declared"]).await;
}

/// A backup that is restored, or a copy: it carries our marks, and is nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_managed_object_may_be_created_and_its_place_may_not_be_taken() {
    let test = Test::shared("copy").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let copy = |name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "namespace": test.ns,
            "labels": {"resources.gardener.cloud/protection": "deny"},
            "annotations": {"resources.gardener.cloud/origin": format!("{}/mr", test.ns)},
        }, "data": {"k": "copy"}})
        .to_string()
    };
    let output = test.alice.send("create", &copy("restored")).await;
    assert!(
        output.status.success() && printed(&output).contains("carries the marks of a managed object"),
        "{}",
        printed(&output)
    );
    // Nobody holds it, so anybody may change it.
    test.alice.succeeds(&["patch", "configmap", "restored", "-p", r#"{"data":{"k":"x"}}"#]).await;
    test.alice.succeeds(&["delete", "configmap", "restored"]).await;

    // The place of one that is held and gone for a moment: its creation by somebody else is refused.
    stage_gone(&test).await;
    test.has("configmaps", "a", "/data/k", "one").await;
}

/// The namespace's quota keeps us from creating it again, so that others can try.
async fn stage_gone(test: &Test) {
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
        "spec": {"hard": {"count/configmaps": "0"}}});
    test.create("resourcequotas", &quota).await;
    // By a controller of the control plane, whom nobody refuses.
    let exempt = ["delete", "configmap", "a", "--as=system:kube-controller-manager", "--as-group=system:masters"];
    test.eventually("it to be gone", || async {
        let _ = test.admin.with(&exempt).await;
        if test.get("configmaps", "a").await.is_none() { Ok(()) } else { Err("it is there".to_owned()) }
    })
    .await;
    let own = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": test.ns,
        "labels": {"resources.gardener.cloud/protection": "deny"}}})
    .to_string();
    let output = test.alice.send("create", &own).await;
    let reported = printed(&output);
    assert!(!output.status.success() && reported.contains("which creates it from Secret"), "{reported}");
    test.delete("resourcequotas", "none").await;
}
