//! Edits that hide, and edits that come in by a side door. The mode Off lets them pass the webhook, so each is for the
//! controller to find: by watch, without being asked.
//!
//! What was done while the controller did not look is in `missed_events.rs`.
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{PROTECTION, Test, nothing_happens_for, text};

/// Long enough for a second round of repairs to begin, if there were one.
const QUIET: Duration = Duration::from_secs(3);

/// Nobody but us and the control plane owns anything but metadata, and the object carries our marks.
fn is_ours(object: &Value) -> Result<(), String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    if !entries.iter().any(|entry| entry["manager"] == "holdfast" && entry["operation"] == "Apply") {
        return Err(format!("nothing of it is ours: {entries:?}"));
    }
    let is_foreign = |entry: &&Value| {
        let fields = entry["fieldsV1"].as_object().into_iter().flatten();
        entry["manager"] != "holdfast"
            && !entry["subresource"].is_string()
            && fields.into_iter().any(|(field, _)| field != "f:metadata")
    };
    entries.iter().find(is_foreign).map_or(Ok(()), |entry| Err(format!("it belongs to others, too: {entry}")))
}

/// Waits until a field has its value again and nothing but metadata belongs to others, and makes sure that it stays so.
async fn put_right(test: &Test, resource: &str, name: &str, pointer: &str, expected: Value) {
    test.eventually(&format!("{pointer} of {resource}/{name} to be {expected}, and ours"), || async {
        let object = test.try_get(resource, name).await?.ok_or("it is not there")?;
        let found = object.pointer(pointer).unwrap_or(&Value::Null);
        if *found == expected { is_ours(&object) } else { Err(object.to_string()) }
    })
    .await;
}

/// Nothing more is written to the namespace of the test, but for the last step of a repair that may be under way.
async fn quiet(test: &Test) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    test.writes().none_for(QUIET, "it does not come to rest").await;
}

/// A manifest with our marks, as we apply it.
async fn as_we_would(test: &Test, resource: &str, manifest: &str) -> Value {
    let mut body = Value::deserialize(serde_yaml::Deserializer::from_str(manifest).next().unwrap()).unwrap();
    let live = test.get(resource, &text(&body, "/metadata/name")).await.unwrap();
    for place in ["/metadata", "/spec/template/metadata"] {
        if let (Some(body), Some(live)) = (body.pointer_mut(place), live.pointer(place)) {
            body["labels"] = live["labels"].clone();
            body["annotations"] = live["annotations"].clone();
        }
    }
    body
}

async fn apply_as(test: &Test, manager: &str, resource: &str, body: &Value) {
    let path = format!("{}?fieldManager={manager}&force=true", test.path(resource, &text(body, "/metadata/name")));
    test.call("PATCH", &path, Some(body)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_under_our_own_name() {
    let test = Test::shared("forged").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one"), test.deployment("web")].concat())
        .mode("Off")
        .await;

    // The same fields with another value: our entry lists what it listed before.
    let mut config_map = as_we_would(&test, "configmaps", &test.config_map("a", "one")).await;
    config_map["data"]["k"] = "forged".into();
    apply_as(&test, "holdfast", "configmaps", &config_map).await;
    put_right(&test, "configmaps", "a", "/data/k", json!("one")).await;

    let mut deployment = as_we_would(&test, "deployments", &test.deployment("web")).await;
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "forged".into();
    apply_as(&test, "holdfast", "deployments", &deployment).await;
    put_right(&test, "deployments", "web", "/spec/template/spec/containers/0/image", json!("nginx")).await;

    // More fields: now they look like ours.
    let mut config_map = as_we_would(&test, "configmaps", &test.config_map("a", "one")).await;
    config_map["data"]["extra"] = "forged".into();
    apply_as(&test, "holdfast", "configmaps", &config_map).await;
    put_right(&test, "configmaps", "a", "/data", json!({"k": "one"})).await;

    // Fewer fields: this takes our marks off, so that no watch sees what else it does.
    let bare = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"k": "forged"}});
    apply_as(&test, "holdfast", "configmaps", &bare).await;
    put_right(&test, "configmaps", "b", "/data/k", json!("one")).await;
    test.has("configmaps", "b", PROTECTION, "off").await;
    quiet(&test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn additions_under_the_name_of_a_controller() {
    let test = Test::shared("trusted").await;
    let account =
        format!("{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: robot, namespace: {}}}}}\n---\n", test.ns);
    let managers = ["kube-controller-manager", "kubelet", "kube-scheduler", "clusterrole-aggregation-controller"];
    let workloads: String = managers.iter().map(|manager| test.deployment(manager)).collect();
    let manifests = [test.config_map("a", "one"), workloads, account].concat();
    test.declare("mr", &manifests).mode("Off").await;
    let containers = "/spec/template/spec/containers";
    let spy = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "main", "image": "nginx"}, {"name": "spy", "image": "spy"}]}}}});
    for manager in managers {
        test.merge("configmaps", "a", manager, &json!({"data": {"extra": "x"}})).await;
        put_right(&test, "configmaps", "a", "/data", json!({"k": "one"})).await;
        test.merge("deployments", manager, manager, &spy).await;
        put_right(&test, "deployments", manager, &format!("{containers}/1"), Value::Null).await;
        test.merge("deployments", manager, manager, &json!({"spec": {"paused": true}})).await;
        put_right(&test, "deployments", manager, "/spec/paused", Value::Null).await;
        test.merge("serviceaccounts", "robot", manager, &json!({"automountServiceAccountToken": true})).await;
        put_right(&test, "serviceaccounts", "robot", "/automountServiceAccountToken", Value::Null).await;
    }
    test.has("deployments", "kubelet", &format!("{containers}/0/image"), "nginx").await;
    quiet(&test).await;
}

/// The aggregation controller writes rules of roles that aggregate, and of no others.
#[tokio::test(flavor = "multi_thread")]
async fn rules_under_the_name_of_the_aggregation_controller() {
    let test = Test::shared("rules").await;
    let role = format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {}}}}}\n---\n",
        test.ns
    );
    test.declare("mr", &role).mode("Off").await;
    for manager in ["kube-controller-manager", "clusterrole-aggregation-controller"] {
        let rules = r#"{"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}"#;
        test.admin.does(&format!("patch clusterrole {} --field-manager={manager} -p {rules}", test.ns)).await;
        test.eventually(&format!("rules of {manager} to vanish"), || async {
            let role = test.admin.does(&format!("get clusterrole {} -o json", test.ns)).await;
            let role: Value = serde_json::from_str(&role).unwrap();
            if role["rules"].as_array().is_none_or(Vec::is_empty) { Ok(()) } else { Err(role.to_string()) }
        })
        .await;
    }
}

/// Somebody applies what the server would default anyway. That is tidied up once, and it is not called a repair.
#[tokio::test(flavor = "multi_thread")]
async fn an_apply_of_defaults_changes_nothing() {
    let test = Test::shared("defaults").await;
    test.declare("mr", &test.deployment("web")).mode("Off").await;
    test.has("deployments", "web", "/status/observedGeneration", 1).await;
    let defaults = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"spec": {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst"}},
        },
    });
    let mut writes = test.writes();
    apply_as(&test, "somebody", "deployments", &defaults).await;
    put_right(&test, "deployments", "web", "/spec/revisionHistoryLimit", json!(10)).await;
    nothing_happens_for(QUIET, "it is adopted or applied again").await;
    let writes = writes.more();
    assert!((2..=4).contains(&writes.len()), "adopted and applied, and that is it: {writes:#?}");
    test.has("deployments", "web", "/metadata/generation", 1).await;
    let events = test.events("Repaired").await;
    assert!(events.is_empty(), "nothing was repaired: {events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cleared_managed_fields() {
    let test = Test::shared("cleared").await;
    let manifests = |value: &str| {
        let more = test.config_map("a", value).replace("  k: ", "  more: x\n  k: ");
        [more, test.config_map("b", value), test.deployment("web")].concat()
    };
    test.declare("mr", &manifests("one")).mode("Off").await;
    let cleared = json!({"metadata": {"managedFields": [{}]}});
    test.merge("configmaps", "a", "x", &cleared).await;
    test.merge("configmaps", "b", "x", &json!({"metadata": {"managedFields": [{}]}, "data": {"k": "x", "extra": "x"}}))
        .await;
    test.merge("deployments", "web", "x", &json!({"metadata": {"managedFields": [{}]}, "spec": {"paused": true}}))
        .await;
    put_right(&test, "configmaps", "a", "/data", json!({"k": "one", "more": "x"})).await;
    put_right(&test, "configmaps", "b", "/data", json!({"k": "one"})).await;
    put_right(&test, "deployments", "web", "/spec/paused", Value::Null).await;
    quiet(&test).await;
    // They are ours to the last field again: one that leaves the manifest leaves the object.
    test.redeclare("mr", &[test.config_map("a", "two"), test.config_map("b", "two"), test.deployment("web")].concat())
        .await;
    test.has("configmaps", "a", "/data", json!({"k": "two"})).await;
    test.has("configmaps", "b", "/data", json!({"k": "two"})).await;
}

/// A write of what is there already brings no entry back where apply is not possible. That must not go round in circles.
/// (The server takes no notes on additions to such an object any more: they stay until the manifest is mended.)
#[tokio::test(flavor = "multi_thread")]
async fn cleared_managed_fields_of_what_cannot_be_applied() {
    let test = Test::shared("cleared").await;
    let unknown = |value: &str| test.config_map("a", value).replace("\ndata:", "\nnonsense: true\ndata:");
    test.declare("mr", &unknown("one")).mode("Off").await;
    test.merge("configmaps", "a", "x", &json!({"metadata": {"managedFields": [{}]}})).await;
    quiet(&test).await;
    test.merge("configmaps", "a", "x", &json!({"data": {"k": "x"}})).await;
    test.has("configmaps", "a", "/data", json!({"k": "one"})).await;
    test.redeclare("mr", &unknown("two")).await;
    test.has("configmaps", "a", "/data", json!({"k": "two"})).await;
}

/// On most kinds the subresource `status` writes metadata, too.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_through_the_status() {
    let test = Test::shared("status").await;
    let service = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: {}, labels: {{tier: one}}}}, spec: {{ports: [{{port: 80}}]}}}}",
        test.ns
    );
    test.declare("mr", &service).mode("Off").await;
    for labels in [json!({"tier": "two"}), json!({"tier": null}), json!({"resources.gardener.cloud/protection": null})]
    {
        test.merge("services", "web/status", "kubelet", &json!({"metadata": {"labels": labels}})).await;
        put_right(&test, "services", "web", "/metadata/labels/tier", json!("one")).await;
        test.has("services", "web", PROTECTION, "off").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_of_declared_replicas() {
    let test = Test::shared("scaled").await;
    test.declare("mr", &test.deployment("web")).mode("Off").await;
    for replicas in [5, 0] {
        test.alice.does(&format!("scale deployment web --replicas={replicas}")).await;
        put_right(&test, "deployments", "web", "/spec/replicas", json!(2)).await;
    }
}

/// What nobody ever owned is not recorded when it is written through the subresource `scale`, whoever does it: there is
/// nothing that would tell a person from an autoscaler. It is left to both.
#[tokio::test(flavor = "multi_thread")]
async fn a_scale_of_replicas_that_nobody_declared_leaves_no_trace() {
    let test = Test::shared("scaled").await;
    test.declare("mr", &test.deployment("web").replace("  replicas: 2\n", "")).await;
    test.has("deployments", "web", "/spec/replicas", 1).await;
    test.alice.does("scale deployment web --replicas=5").await;
    let web = test.get("deployments", "web").await.unwrap();
    let entries = web["metadata"]["managedFields"].as_array().unwrap().iter();
    let mut recorded = entries.filter(|entry| entry.pointer("/fieldsV1/f:spec/f:replicas").is_some());
    assert!(recorded.next().is_none(), "{web}");
    test.resync("mr").await;
    quiet(&test).await;
    test.has("deployments", "web", "/spec/replicas", 5).await;

    // Declared, they are held.
    test.redeclare("mr", &test.deployment("web")).await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
}

/// In `managedFields` such an edit is written down in the terms of the other version, which an apply in ours does not remove.
#[tokio::test(flavor = "multi_thread")]
async fn an_addition_through_another_version() {
    let test = Test::shared("version").await;
    let scaler = format!(
        "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: web, namespace: {}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}
  maxReplicas: 3
",
        test.ns
    );
    test.declare("mr", &scaler).mode("Off").await;
    let v2 = "autoscaling/v2/horizontalpodautoscalers";
    test.merge("autoscaling/v1/horizontalpodautoscalers", "web", "x", &json!({"spec": {"maxReplicas": 9}})).await;
    test.has(v2, "web", "/spec/maxReplicas", 3).await;
    test.merge("autoscaling/v1/horizontalpodautoscalers", "web", "x", &json!({"spec": {"minReplicas": 2}})).await;
    put_right(&test, v2, "web", "/spec/minReplicas", json!(1)).await;
    quiet(&test).await;
}
