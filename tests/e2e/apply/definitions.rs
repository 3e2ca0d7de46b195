//! Kinds that come, go and change: definitions in ManagedResources of their own.
use holdfast_testing::{Definition, any_fields};
use serde_json::{Value, json};

use crate::harness::{Test, text};

/// A definition with these versions; the last one that is served is stored.
fn definition(test: &Test, versions: &[(&str, bool)]) -> String {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"size": {"type": "integer"}, "note": {"type": "string"}}},
        "status": any_fields(),
    }});
    let definition = Definition::new(&format!("{}.example.com", test.ns), "Widget").versions(versions).schema(schema);
    definition.subresources(json!({"status": {}})).to_string()
}

fn widget(test: &Test, version: &str, name: &str, size: u32) -> String {
    let object = json!({
        "apiVersion": format!("{}.example.com/{version}", test.ns), "kind": "Widget",
        "metadata": {"name": name, "namespace": test.ns}, "spec": {"size": size},
    });
    format!("{object}\n---\n")
}

fn widgets(test: &Test, version: &str) -> String {
    format!("{}.example.com/{version}/widgets", test.ns)
}

/// Edits, adds to and deletes a widget; each time the watch of its kind has to notice.
async fn is_managed(test: &Test, version: &str, name: &str, size: u32) {
    let resource = widgets(test, version);
    test.merge(&resource, name, "x", &json!({"spec": {"size": 99}})).await;
    test.has(&resource, name, "/spec/size", size).await;
    test.merge(&resource, name, "x", &json!({"spec": {"note": "x"}})).await;
    test.has(&resource, name, "/spec/note", Value::Null).await;
    test.delete(&resource, name).await;
    test.has(&resource, name, "/spec/size", size).await;
}

/// The kind of a custom resource may come later, in another ManagedResource, and it may be taken away and come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_may_come_later_and_come_again() {
    let test = Test::shared("later").await;
    let off = json!({"protection": {"mode": "Off"}});
    let objects = [widget(&test, "v1", "w", 1), widget(&test, "v1", "other", 1), test.config_map("a", "one")];
    test.secret("objects", &objects.concat()).await;
    test.mr("objects", &["objects"], off).await;
    test.message("objects", "ApplyFailed", &[r#"no matches for kind "Widget""#]).await;
    test.has("configmaps", "a", "/data/k", "one").await;

    test.declare("kinds", &definition(&test, &[("v1", true)])).mode("Off").await;
    test.applied("objects").await;
    is_managed(&test, "v1", "w", 1).await;

    // Somebody removes it, and all widgets with it.
    let name = format!("widgets.{}.example.com", test.ns);
    let uid = test.uid("customresourcedefinitions", &name).await;
    test.delete("customresourcedefinitions", &name).await;
    test.eventually("another definition", || async {
        let object = test.try_get("customresourcedefinitions", &name).await?.ok_or("it is not there")?;
        if text(&object, "/metadata/uid") == uid { Err("it is the old one".to_owned()) } else { Ok(()) }
    })
    .await;
    test.eventually("the widget to be there again", || async {
        test.try_get(&widgets(&test, "v1"), "w").await?.map(|_| ()).ok_or("it is not there".to_owned())
    })
    .await;
    // Another one: the first has been put right so often that it would count as fought over.
    is_managed(&test, "v1", "other", 1).await;
    test.applied("objects").await;
    test.applied("kinds").await;
}

/// A version that is not served any more is named, and the other objects are held as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_served_any_more() {
    let test = Test::shared("served").await;
    test.declare("kinds", &definition(&test, &[("v1", true), ("v2", true)])).mode("Off").await;
    let objects = |version: &str, value: &str| {
        [widget(&test, version, "w", 1), widget(&test, version, "other", 1), test.config_map("a", value)].concat()
    };
    test.declare("objects", &objects("v1", "one")).mode("Off").await;
    is_managed(&test, "v1", "other", 1).await;

    test.redeclare("kinds", &definition(&test, &[("v1", false), ("v2", true)])).await;
    test.secret("objects", &[widget(&test, "v1", "w", 2), test.config_map("a", "two")].concat()).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.message("objects", "ApplyFailed", &[r#"no matches for kind "Widget""#, "v1"]).await;
    test.alice.does(r#"patch configmap a -p {"data":{"k":"x"}}"#).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.has(&widgets(&test, "v2"), "w", "/spec/size", 1).await;

    // The manifest moves on to the version that is served; the object stays the same.
    let uid = test.uid(&widgets(&test, "v2"), "w").await;
    test.redeclare("objects", &objects("v2", "three")).await;
    is_same_and_managed(&test, &uid).await;

    // And objects of a kind that is gone altogether do not hold up the deletion.
    test.alice.does("delete managedresource kinds --timeout=45s").await;
    test.alice.does("delete managedresource objects --timeout=45s").await;
    assert!(test.get("configmaps", "a").await.is_none());
}

async fn is_same_and_managed(test: &Test, uid: &str) {
    let resource = widgets(test, "v2");
    test.has(&resource, "w", "/spec/size", 1).await;
    assert_eq!(test.uid(&resource, "w").await, uid);
    is_managed(test, "v2", "w", 1).await;
}

/// Definition, namespace and what is in it, declared in the wrong order: nothing ever fails.
#[tokio::test(flavor = "multi_thread")]
async fn everything_at_once_succeeds_in_the_first_pass() {
    let test = Test::shared("first").await;
    let inner = Test::within(test.cluster.clone(), &format!("inner-{}", test.ns));
    let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {}}}}}\n---\n", inner.ns);
    let external = widget(&test, "v1", "there", 2).replace(&format!("{:?}", test.ns), &format!("{:?}", inner.ns));
    let manifests = [
        widget(&test, "v1", "here", 1),
        external,
        inner.deployment("web"),
        inner.config_map("a", "one"),
        namespace,
        definition(&test, &[("v1", true)]),
    ]
    .concat();
    // All that the ManagedResource ever says is kept by a watch.
    let path = format!("{}?watch=true&timeoutSeconds=20", test.path("managedresources", ""));
    let watching = {
        let client = test.cluster.control_plane.client(holdfast_e2e::control_plane::User::Admin).unwrap();
        tokio::spawn(async move { client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await })
    };
    test.declare("mr", &manifests).await;
    inner.has("configmaps", "a", "/data/k", "one").await;
    inner.has("deployments", "web", "/spec/replicas", 2).await;
    test.has(&widgets(&test, "v1"), "here", "/spec/size", 1).await;

    let events = watching.await.unwrap().unwrap();
    let mut reasons: Vec<String> = Vec::new();
    for line in events.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let conditions = event.pointer("/object/status/conditions").and_then(Value::as_array).cloned();
        reasons.extend(conditions.into_iter().flatten().map(|condition| text(&condition, "/reason")));
    }
    assert!(reasons.iter().any(|reason| reason == "ApplySucceeded"), "the watch saw it: {events}");
    assert!(!reasons.iter().any(|reason| reason.contains("Failed")), "{reasons:?}");
    assert!(test.events("ApplyFailed").await.is_empty());
}
