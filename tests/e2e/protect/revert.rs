//! Mode Revert on edits of many shapes: what is put back, what is kept, and who owns what afterwards.
use holdfast_testing::edits::{content, pointers};
use holdfast_testing::{Definition, Dice};
use serde_json::{Value, json};

use crate::harness::{Test, printed};

/// Edits of each object, about.
const EDITS: u64 = 13;

/// The entry in `managedFields` of a manager.
fn entry(object: &Value, manager: &str) -> Option<Value> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    entries.iter().find(|entry| entry["manager"] == manager).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_allowed_part_of_an_edit_is_kept_and_owned_by_who_made_it() {
    let test = Test::shared("partly").await;
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).mode("Revert").await;
    test.has("deployments", "web", "/status/replicas", 2).await;
    let before = test.get("deployments", "web").await.unwrap();
    let patch = r#"{"metadata":{"labels":{"team":"blue"}},"spec":{"replicas":5,"paused":true}}"#;
    let output = test.alice.with(&["patch", "deployment", "web", "-p", patch, "--field-manager=alice"]).await;
    let parts = [
        "spec.replicas is declared in Secret",
        "spec.paused is not declared in Secret",
        "was put back; the rest was kept.",
    ];
    assert!(output.status.success() && parts.iter().all(|part| output.stderr.contains(part)), "{}", printed(&output));
    let after = test.get("deployments", "web").await.unwrap();
    assert_eq!((&after["spec"], &after["metadata"]["labels"]["team"]), (&before["spec"], &json!("blue")));
    assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"]);
    assert_eq!(entry(&after, "holdfast"), entry(&before, "holdfast"));
    let alice = entry(&after, "alice").expect("an entry of whoever set the label");
    assert_eq!(
        (&alice["operation"], &alice["fieldsV1"]),
        (&json!("Update"), &json!({"f:metadata": {"f:labels": {"f:team": {}}}}))
    );

    // The same by an apply, which wants to own everything.
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"team": "blue"}},
        "data": {"k": "two", "other": "x"}});
    let before = test.get("configmaps", "a").await.unwrap();
    test.try_apply_as("flux", "configmaps", &object).await.unwrap();
    let after = test.get("configmaps", "a").await.unwrap();
    assert_eq!((&after["data"], &after["metadata"]["labels"]["team"]), (&json!({"k": "one"}), &json!("blue")));
    assert_eq!(entry(&after, "holdfast"), entry(&before, "holdfast"));
    let flux = entry(&after, "flux").expect("an entry of whoever applied");
    assert_eq!(
        (&flux["operation"], &flux["fieldsV1"]),
        (&json!("Apply"), &json!({"f:metadata": {"f:labels": {"f:team": {}}}}))
    );
    // Once more, nothing is left to be kept; in another second, because entries tell theirs.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    test.try_apply_as("flux", "configmaps", &object).await.unwrap();
    assert_eq!(test.get("configmaps", "a").await.unwrap(), after);
    // What it owns it may give up.
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "two"}});
    test.try_apply_as("flux", "configmaps", &object).await.unwrap();
    let last = test.get("configmaps", "a").await.unwrap();
    assert_eq!((&last["data"], &last["metadata"]["labels"]["team"]), (&json!({"k": "one"}), &Value::Null));
    assert_eq!(entry(&last, "holdfast"), entry(&before, "holdfast"));

    // An apply in the old way leaves its own annotation, and nothing else.
    test.alice.send("apply", &test.config_map("a", "three")).await.success().unwrap();
    let applied = test.get("configmaps", "a").await.unwrap();
    assert_eq!(applied["data"], json!({"k": "one"}));
    assert!(applied["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].is_string());
    test.resync("mr").await;
    assert_eq!(test.get("configmaps", "a").await.unwrap(), applied, "the controller has nothing to do");
    assert!(test.events("Repaired").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_declared_scope_additions_of_others_are_kept() {
    let test = Test::shared("partly").await;
    test.declare("mr", &test.deployment("web")).mode("Revert").scope("Declared").await;
    let sidecar = r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"other"},{"name":"side","image":"side"}]}}}}"#;
    let output = test.alice.with(&["patch", "deployment", "web", "-p", sidecar, "--field-manager=alice"]).await;
    let field = "spec.template.spec.containers[name=main].image is declared in";
    assert!(output.stderr.contains(field) && output.stderr.contains("the rest was kept"), "{}", printed(&output));
    let after = test.get("deployments", "web").await.unwrap();
    let containers = after.pointer("/spec/template/spec/containers").and_then(Value::as_array).unwrap();
    let images: Vec<Value> =
        containers.iter().map(|container| json!([container["name"], container["image"]])).collect();
    assert!(images.contains(&json!(["main", "nginx"])) && images.contains(&json!(["side", "side"])), "{images:?}");
    let alice = entry(&after, "alice").unwrap()["fieldsV1"].to_string();
    assert!(alice.contains("side") && !alice.contains("main"), "{alice}");
    test.resync("mr").await;
    assert_eq!(test.get("deployments", "web").await.unwrap()["spec"], after["spec"], "what was added stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_ownership_and_marks_are_put_back() {
    let test = Test::shared("forged").await;
    test.declare("mr", &test.config_map("a", "one")).mode("Revert").await;
    let before = test.get("configmaps", "a").await.unwrap();
    for patch in [
        json!({"metadata": {"managedFields": [{}]}}),
        json!({"metadata": {"managedFields": [{}]}, "data": {"k": "x", "more": "x"}}),
        json!({"metadata": {"labels": null, "annotations": null}}),
        json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}]}}),
        json!({"metadata": {"annotations": {"resources.gardener.cloud/keep-object": "true"}}}),
    ] {
        let output = test.alice.with(&["patch", "configmap", "a", "--type=merge", "-p", &patch.to_string()]).await;
        let observed = printed(&output);
        assert!(output.status.success() && observed.contains("put back; nothing was changed"), "{patch}: {observed}");
        assert_eq!(test.get("configmaps", "a").await.unwrap(), before, "{patch}: {observed}");
    }
}

/// An autoscaler, the definition of a kind in this group, and an object of it.
fn scaler_and_widget(ns: &str, group: &str) -> String {
    let scaler = format!(
        "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: h, namespace: {ns}}}
spec:
  maxReplicas: 5
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: none}}
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}}}]
---
"
    );
    let part = json!({"type": "object", "properties": {"part": {"type": "string"}, "count": {"type": "integer"}}});
    let properties = json!({"size": {"type": "integer"}, "parts": {"type": "array", "items": part}});
    let scale = json!({"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}});
    let definition = Definition::new(group, "Widget").spec(&properties).subresources(scale).to_string();
    let widget = format!(
        "
apiVersion: {group}/v1
kind: Widget
metadata: {{name: w, namespace: {ns}}}
spec: {{size: 1, parts: [{{part: a, count: 1}}, {{part: b, count: 2}}]}}
---
"
    );
    [scaler, definition, widget].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_through_another_version_and_of_custom_resources_are_put_back() {
    let test = Test::shared("versions").await;
    let group = format!("{}.example.com", test.ns);
    test.declare("mr", &scaler_and_widget(&test.ns, &group)).mode("Revert").await;
    let (scalers, widgets) = ("autoscaling/v2/horizontalpodautoscalers", format!("{group}/v1/widgets"));
    // The controller of autoscalers has said that there is nothing to scale.
    test.eventually("the autoscaler to be seen", || async {
        let object = test.try_get(scalers, "h").await?.ok_or("it is gone")?;
        if object["status"]["conditions"].is_array() { Ok(()) } else { Err(object["status"].to_string()) }
    })
    .await;
    let of = |object: Value| {
        let mut entries = object["metadata"]["managedFields"].as_array().unwrap().clone();
        entries.retain(|entry| entry["subresource"] != "status");
        json!([object["spec"], object["metadata"]["labels"], object["metadata"]["annotations"], entries])
    };
    let before = [of(test.get(scalers, "h").await.unwrap()), of(test.get(&widgets, "w").await.unwrap())];
    let widget = format!("widgets.{group}");
    for (kind, patch) in [
        (
            "horizontalpodautoscalers.v1.autoscaling",
            r#"{"spec":{"maxReplicas":9,"targetCPUUtilizationPercentage":90}}"#,
        ),
        ("horizontalpodautoscalers.v2.autoscaling", r#"{"spec":{"maxReplicas":9,"minReplicas":3}}"#),
        (widget.as_str(), r#"{"spec":{"size":9,"parts":[{"part":"a","count":7},{"part":"c"}]}}"#),
        (widget.as_str(), r#"{"spec":null,"metadata":{"labels":null}}"#),
    ] {
        let name = if kind == widget { "w" } else { "h" };
        let output = test.alice.with(&["patch", kind, name, "--type=merge", "-p", patch]).await;
        assert!(output.status.success() && output.stderr.contains("put back"), "{kind} {patch}: {}", printed(&output));
        let now = [of(test.get(scalers, "h").await.unwrap()), of(test.get(&widgets, "w").await.unwrap())];
        assert_eq!(now, before, "{kind} {patch}: {}", printed(&output));
    }
    let refusal = test.alice.run(&format!("scale {widget} w --replicas=4")).await.refusal().unwrap();
    assert!(refusal.contains("denied the request"), "{refusal}");
    test.resync("mr").await;
    assert!(test.events("Repaired").await.is_empty());
    test.alice.does("delete managedresource mr --timeout=45s").await;
}

/// One or two operations of a JSON patch that the server might accept.
fn any_patch(object: &Value, dice: &mut Dice) -> Value {
    let all = pointers(&content(object));
    let operations = (0..=dice.throw(2)).map(|_| {
        let place = &all[dice.throw(all.len())];
        let found = object.pointer(place).unwrap();
        match (dice.throw(3), found) {
            (0, _) => json!({"op": "remove", "path": place}),
            (_, Value::Number(number)) => {
                json!({"op": "replace", "path": place, "value": number.as_i64().unwrap() + 1})
            }
            (_, Value::String(text)) => json!({"op": "replace", "path": place, "value": format!("{text}1")}),
            (_, Value::Bool(flag)) => json!({"op": "replace", "path": place, "value": !flag}),
            (_, Value::Array(items)) => {
                json!({"op": "replace", "path": place, "value": items.iter().rev().collect::<Vec<_>>()})
            }
            (_, other) => {
                let mut fields = other.clone();
                fields["added"] = json!("x");
                json!({"op": "replace", "path": place, "value": fields})
            }
        }
    });
    operations.collect()
}

/// Objects with lists, maps and numbers to edit.
fn rich_objects(ns: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {ns}}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80}}, {{name: dns, port: 53, protocol: UDP}}]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: reader, namespace: {ns}}}
rules: [{{apiGroups: [\"\"], resources: [pods, secrets], verbs: [get, list]}}, {{apiGroups: [apps], resources: [deployments], verbs: [get]}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: large, namespace: {ns}}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: large}}}}
  template:
    metadata: {{labels: {{app: large}}}}
    spec:
      volumes: [{{name: one, emptyDir: {{}}}}, {{name: two, configMap: {{name: a, items: [{{key: k, path: k}}]}}}}]
      containers:
      - name: main
        image: nginx
        args: [a, b, c]
        env: [{{name: A, value: a}}, {{name: B, value: b}}]
        ports: [{{name: http, containerPort: 80}}, {{containerPort: 81}}]
        volumeMounts: [{{name: one, mountPath: /one}}, {{name: two, mountPath: /two}}]
        resources: {{requests: {{cpu: 10m}}}}
      - {{name: second, image: nginx}}
---
"
    )
}

/// Waits until the controller of Deployments has written its own entries.
async fn deployment_seen(test: &Test, name: &str) {
    test.eventually("the Deployment to be seen", || async {
        let object = test.try_get("deployments", name).await?.ok_or("it is gone")?;
        let seen = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        let conditions = object["status"]["conditions"].as_array().map_or(0, Vec::len);
        if seen && conditions > 1 { Ok(()) } else { Err(object["status"].to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_edits_leave_objects_identical() {
    let test = Test::shared("random").await;
    test.declare("mr", &[test.config_map("a", "one"), rich_objects(&test.ns)].concat()).mode("Revert").await;
    let mut dice = Dice::new(7);
    let (mut stored, mut refused) = (0, 0);
    for (resource, name) in [
        ("configmaps", "a"),
        ("services", "web"),
        ("rbac.authorization.k8s.io/v1/roles", "reader"),
        ("deployments", "large"),
    ] {
        // The controllers' own entries come once.
        test.resync("mr").await;
        if resource == "deployments" {
            deployment_seen(&test, name).await;
        }
        let before = test.get(resource, name).await.unwrap();
        let kind = resource.rsplit('/').next().unwrap();
        for _ in 0..EDITS {
            let patch = any_patch(&before, &mut dice).to_string();
            let output = test.alice.with(&["patch", kind, name, "--type=json", "-p", &patch]).await;
            let observed = printed(&output);
            assert_eq!(test.get(resource, name).await.unwrap(), before, "{patch}: {observed}");
            // What is invalid is refused by the server; never by us.
            assert!(!observed.contains("denied the request"), "{patch}: {observed}");
            if output.status.success() { stored += 1 } else { refused += 1 }
        }
    }
    assert!(stored > refused, "{stored} edits were put back, {refused} were invalid");
    test.resync("mr").await;
    assert!(test.events("Repaired").await.is_empty());
}
