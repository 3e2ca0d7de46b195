//! What is being deleted is left alone, and created anew when it is gone; nothing that was deleted is resurrected by a
//! write that came too late.
use std::time::Duration;

use holdfast_e2e::audit::Request;
use serde_json::{Value, json};

use crate::harness::{FOREIGN_FINALIZER, Manifest as _, PROTECTION, Test, nothing_happens_for, text, within};

/// Long enough for whoever would write in a loop.
const WATCHED: Duration = Duration::from_secs(8);
/// Attempts are made with growing delays; these have grown.
const BACK: Duration = Duration::from_secs(70);

async fn set_finalizers(test: &Test, name: &str, finalizers: Value) {
    test.merge("configmaps", name, "somebody", &json!({"metadata": {"finalizers": finalizers}})).await;
}

/// A finalizer is nobody's business, but of a ConfigMap only an apply tells that nothing else has changed.
async fn observed(test: &Test) {
    let mut writes = test.writes();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if writes.more().is_empty() {
            return;
        }
    }
}

fn of(requests: Vec<Request>, name: &str) -> Vec<Request> {
    requests.into_iter().filter(|request| request.name == name).collect()
}

/// Waits until there is an object of this name and another uid.
async fn anew(test: &Test, name: &str, uid: &str) -> Value {
    within(BACK, &format!("{name} to be created anew"), || async {
        let object = test.try_get("configmaps", name).await?.ok_or("it is not there")?;
        if text(&object, "/metadata/uid") == uid { Err(object["metadata"].to_string()) } else { Ok(object) }
    })
    .await
}

/// Whoever deletes it may have set the finalizer, or it is declared: then an apply would be refused by the server, which
/// must not be taken for a bad manifest.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_deletion_is_not_written_to() {
    let test = Test::shared("dying").await;
    let manifests = |value: &str| {
        let declared = test.config_map("declared", value).with_metadata(&format!("finalizers: [{FOREIGN_FINALIZER}]"));
        [declared, test.config_map("foreign", value), test.config_map("other", value)].concat()
    };
    test.declare("mr", &manifests("one")).mode("Off").await;
    set_finalizers(&test, "foreign", json!([FOREIGN_FINALIZER])).await;
    observed(&test).await;
    let names = ["declared", "foreign"];
    let mut uids = Vec::new();
    let mut writes = test.writes();
    for name in names {
        uids.push(test.uid("configmaps", name).await);
        test.delete("configmaps", name).await;
    }
    // Reasons to write: an edit, a new manifest, a resync.
    test.merge("configmaps", "foreign", "somebody", &json!({"data": {"k": "x"}})).await;
    test.merge("configmaps", "declared", "somebody", &json!({"data": {"k": "x"}})).await;
    let versions: Vec<_> = [
        test.get("configmaps", "declared").await.unwrap()["metadata"]["resourceVersion"].clone(),
        test.get("configmaps", "foreign").await.unwrap()["metadata"]["resourceVersion"].clone(),
    ]
    .into();
    test.secret("mr", &manifests("two")).await;
    test.alice.does("annotate managedresource mr gardener.cloud/operation=reconcile").await;
    test.has("configmaps", "other", "/data/k", "two").await;
    nothing_happens_for(WATCHED, "it is written to").await;
    let seen = writes.more();
    for (name, version) in names.into_iter().zip(versions) {
        let requests = of(seen.clone(), name);
        assert!(requests.is_empty(), "it is left alone: {requests:#?}");
        let object = test.get("configmaps", name).await.unwrap();
        assert_eq!(object["metadata"]["resourceVersion"], version, "{object}");
    }
    // And nobody says that all is applied.
    let ends = ["declared (", "foreign (", "it is being deleted; it is created again when it is gone"];
    test.message("mr", "ApplyProgressing", &ends).await;
    // Others are held meanwhile.
    test.alice.does(r#"patch configmap other -p {"data":{"k":"x"}}"#).await;
    test.has("configmaps", "other", "/data/k", "two").await;

    for (name, uid) in names.into_iter().zip(uids) {
        set_finalizers(&test, name, Value::Null).await;
        assert_eq!(anew(&test, name, &uid).await["data"]["k"], "two");
    }
    test.applied("mr").await;
    set_finalizers(&test, "declared", Value::Null).await;
    test.has("configmaps", "declared", "/metadata/finalizers", json!([FOREIGN_FINALIZER])).await;
}

/// Without our label no watch shows it, as if it were gone already.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_deletion_whose_label_is_stripped_is_not_written_to() {
    let test = Test::shared("dying").await;
    test.declare("mr", &test.config_map("a", "one")).mode("Off").await;
    set_finalizers(&test, "a", json!([FOREIGN_FINALIZER])).await;
    observed(&test).await;
    let uid = test.uid("configmaps", "a").await;
    test.delete("configmaps", "a").await;
    let mut writes = test.writes();
    let stripped = json!({"metadata": {"labels": null, "annotations": null}, "data": {"k": "x"}});
    test.merge("configmaps", "a", "somebody", &stripped).await;
    nothing_happens_for(WATCHED, "it is written to").await;
    let seen = writes.more();
    set_finalizers(&test, "a", Value::Null).await;
    assert_eq!(anew(&test, "a", &uid).await["data"]["k"], "one");
    assert!(seen.is_empty(), "it is left alone: {seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_in_deletion_is_not_written_to() {
    let test = Test::shared("outer").await;
    let inner = Test::on(test.cluster.clone(), &format!("inner-{}", test.ns)).await;
    let content: String = (0..5).map(|number| inner.config_map(&format!("c-{number}"), "one")).collect();
    let manifests = [content, inner.config_map("held", "one"), test.config_map("outside", "one")].concat();
    test.declare("mr", &manifests).mode("Off").await;
    set_finalizers(&inner, "held", json!([FOREIGN_FINALIZER])).await;
    observed(&inner).await;
    let uid = inner.uid("configmaps", "held").await;

    let mut writes = inner.writes();
    inner.admin.does(&format!("delete namespace {} --wait=false", inner.ns)).await;
    inner.gone("configmaps", "c-0").await;
    test.message("mr", "ApplyFailed", &["is being terminated"]).await;
    nothing_happens_for(WATCHED, "its content is written again and again").await;
    let seen = writes.more();
    assert!(of(seen.clone(), "held").iter().all(|request| request.verb != "patch"), "{seen:#?}");
    // Five objects: a few attempts each, with growing delays.
    let attempts = of(seen.clone(), "c-0").len();
    assert!(seen.len() <= 60 && attempts <= 10, "{} writes into a dying namespace: {seen:#?}", seen.len());
    let last: Vec<_> = of(seen, "c-1").iter().map(|request| request.received).collect();
    eprintln!("attempts to create one of the objects: {last:#?}");
    // Others are held meanwhile.
    test.alice.does(r#"patch configmap outside -p {"data":{"k":"x"}}"#).await;
    test.has("configmaps", "outside", "/data/k", "one").await;

    set_finalizers(&inner, "held", Value::Null).await;
    inner.gone("namespaces", &inner.ns).await;
    inner.create("namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": inner.ns}})).await;
    assert_eq!(anew(&inner, "held", &uid).await["data"]["k"], "one");
    anew(&inner, "c-4", "").await;
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_namespace_comes_back_with_its_content() {
    let test = Test::shared("outer").await;
    let inner = Test::within(test.cluster.clone(), &format!("inner-{}", test.ns));
    let namespace = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {}}}}}\n---\n", inner.ns);
    let manifests = [namespace, inner.config_map("held", "one"), inner.config_map("b", "one")].concat();
    test.declare("mr", &manifests).mode("Off").await;
    set_finalizers(&inner, "held", json!([FOREIGN_FINALIZER])).await;
    observed(&inner).await;
    let uids = [inner.uid("namespaces", &inner.ns).await, inner.uid("configmaps", "held").await];

    let mut writes = inner.writes();
    inner.admin.does(&format!("delete namespace {} --wait=false", inner.ns)).await;
    inner.gone("configmaps", "b").await;
    nothing_happens_for(WATCHED, "its content is written again and again").await;
    let seen = writes.more();
    let to_namespace = seen.iter().filter(|request| request.resource == "namespaces").count();
    assert_eq!(to_namespace, 0, "the namespace itself is left alone: {seen:#?}");
    assert!(seen.len() <= 20, "{} writes into a dying namespace: {seen:#?}", seen.len());

    set_finalizers(&inner, "held", Value::Null).await;
    assert_eq!(anew(&inner, "held", &uids[1]).await["data"]["k"], "one");
    inner.has("configmaps", "b", "/data/k", "one").await;
    assert_ne!(inner.uid("namespaces", &inner.ns).await, uids[0]);
    test.applied("mr").await;
}

/// A reference to an owner that does not exist makes the garbage collector delete the object; one to an owner that does
/// exist would make it go with that owner later.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_owners_do_not_take_an_object_along() {
    let test = Test::shared("owners").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one"), test.deployment("web")].concat())
        .mode("Off")
        .await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}});
    let owner = text(&test.create("configmaps", &owner).await, "/metadata/uid");
    let nobody = "00000000-0000-4000-8000-000000000000";
    for (resource, name, uid) in
        [("configmaps", "a", nobody), ("deployments", "web", nobody), ("configmaps", "b", owner.as_str())]
    {
        let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid});
        test.merge(resource, name, "somebody", &json!({"metadata": {"ownerReferences": [reference]}})).await;
    }
    for round in 0..2 {
        for (resource, name) in [("configmaps", "a"), ("configmaps", "b"), ("deployments", "web")] {
            test.has(resource, name, PROTECTION, "off").await;
            test.has(resource, name, "/metadata/ownerReferences", Value::Null).await;
            test.has(resource, name, "/metadata/deletionTimestamp", Value::Null).await;
        }
        if round == 0 {
            // The garbage collector has made up its mind by then.
            nothing_happens_for(Duration::from_secs(3), "the garbage collector deletes it").await;
        }
    }
    let uid = test.uid("configmaps", "b").await;
    test.delete("configmaps", "owner").await;
    nothing_happens_for(Duration::from_secs(3), "the garbage collector deletes it").await;
    assert_eq!(test.uid("configmaps", "b").await, uid, "it does not go with its would-be owner");
    test.applied("mr").await;
}
