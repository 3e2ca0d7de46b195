//! Kinds that depend on each other, and ones that do not work.
use holdfast_testing::{Definition, any_fields};
use serde_json::json;

use crate::harness::Test;

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_and_its_objects_come_together() {
    let test = Test::shared("custom").await;
    let group = format!("{}.example.com", test.ns);
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer"}}}, "status": any_fields(),
    }});
    let definition = Definition::new(&group, "Widget").schema(schema).subresources(json!({"status": {}})).to_string();
    let widget = |size: u32| {
        format!(
            "{{apiVersion: {group}/v1, kind: Widget, metadata: {{name: w, namespace: {}}}, spec: {{size: {size}}}}}\n---\n",
            test.ns
        )
    };
    // The object is declared before its kind.
    test.declare("mr", &[widget(1), definition.clone()].concat()).await;
    let resource = format!("{group}/v1/widgets");
    test.has(&resource, "w", "/spec/size", 1).await;
    let output = test
        .alice
        .with(&["patch", &format!("widgets.{group}"), "w", "--type=merge", "-p", r#"{"spec":{"size":9}}"#])
        .await;
    let refusal = output.refusal().unwrap();
    assert!(
        refusal.contains(&format!("widgets.{group} \"w\" is managed by")) && refusal.contains("spec.size is declared"),
        "{refusal}"
    );
    test.redeclare("mr", &[widget(2), definition].concat()).await;
    test.has(&resource, "w", "/spec/size", 2).await;

    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("customresourcedefinitions", &format!("widgets.{group}")).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_and_its_content_come_together() {
    let test = Test::shared("outer").await;
    let inner = Test::within(test.cluster.clone(), &format!("inner-{}", test.ns));
    let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {}}}}}\n---\n", inner.ns);
    // The content is declared first.
    test.declare("mr", &[inner.config_map("a", "one"), inner.deployment("web"), namespace].concat()).await;
    inner.has("configmaps", "a", "/data/k", "one").await;
    let refusal = test.alice.run(&format!("delete namespace {}", inner.ns)).await.refusal().unwrap();
    assert!(refusal.contains(&format!("namespaces {:?} is managed by", inner.ns)), "{refusal}");
    test.alice.does("delete managedresource mr --timeout=60s").await;
    assert!(test.get("namespaces", &inner.ns).await.is_none(), "it is gone before the ManagedResource is");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_applied_does_not_stop_the_rest() {
    let test = Test::shared("bad").await;
    let refused = test.refused_config_map("bad-name", "one");
    let unknown = format!(
        "{{apiVersion: example.com/v1, kind: Nothing, metadata: {{name: nothing, namespace: {}}}}}\n---\n",
        test.ns
    );
    let nowhere = test.config_map("lost", "one").replace(&test.ns, "no-such-namespace");
    let manifests = [test.config_map("a", "one"), refused, unknown, nowhere, test.config_map("z", "one")].concat();
    test.declare("mr", &manifests).write().await;
    let parts = [
        "3 errors occurred",
        "bad-name",
        "document 2",
        r#"no matches for kind "Nothing" in version "example.com/v1""#,
        r#"namespaces "no-such-namespace" not found"#,
    ];
    test.message("mr", "ApplyFailed", &parts).await;
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("configmaps", "z", "/data/k", "one").await;

    test.redeclare("mr", &test.config_map("a", "two")).await;
    test.gone("configmaps", "z").await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_keep_what_the_server_gave_them() {
    let test = Test::shared("service").await;
    let service = |port: u16| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: s, namespace: {}}}, spec: {{selector: {{a: b}}, ports: [{{port: {port}}}]}}}}",
            test.ns
        )
    };
    test.declare("mr", &service(80)).await;
    let before = test.get("services", "s").await.unwrap();
    test.redeclare("mr", &service(81)).await;
    let after = test.get("services", "s").await.unwrap();
    assert_eq!(after["spec"]["clusterIP"], before["spec"]["clusterIP"]);
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["spec"]["ports"].as_array().unwrap().len(), 1, "{after}");
    assert_eq!(after["spec"]["ports"][0]["port"], 81);
}
