//! Several ManagedResources: side by side, in each other's way, handing objects over.

use crate::harness::{Manifest as _, Test};

#[tokio::test(flavor = "multi_thread")]
async fn two_namespaces_do_not_disturb_each_other() {
    let (one, two) = tokio::join!(Test::shared("one"), Test::shared("two"));
    // The same names in both.
    one.declare("mr", &one.config_map("a", "one")).await;
    two.declare("mr", &two.config_map("a", "two")).await;
    one.has("configmaps", "a", "/data/k", "one").await;
    let uid = two.uid("configmaps", "a").await;
    one.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(one.get("configmaps", "a").await.is_none());
    assert_eq!(two.uid("configmaps", "a").await, uid);
    let output = two.alice.with(&["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#]).await;
    assert!(output.refusal().unwrap().contains(&format!("ManagedResource {}/mr", two.ns)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_to_claim_an_object_keeps_it() {
    let test = Test::shared("claims").await;
    test.declare("first", &test.config_map("a", "one")).await;
    test.declare("second", &[test.config_map("a", "two"), test.config_map("b", "two")].concat()).write().await;
    let owner = format!("ConfigMap {0}/a is held by ManagedResource {0}/first", test.ns);
    test.message("second", "ApplyFailed", &[&owner]).await;
    test.has("configmaps", "b", "/data/k", "two").await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(object["data"]["k"], "one");
    assert_eq!(object["metadata"]["annotations"]["resources.gardener.cloud/origin"], format!("{}/first", test.ns));

    // What another one waits for is handed over and not deleted.
    let uid = test.uid("configmaps", "a").await;
    test.alice.does("delete managedresource first --timeout=45s").await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.applied("second").await;
    assert_eq!(test.uid("configmaps", "a").await, uid, "it was handed over");
    test.alice.does("delete managedresource second --timeout=45s").await;
    assert!(test.get("configmaps", "a").await.is_none());
}

/// The first owner drops it, or declares it with `mode: Ignore`, while another one waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_moves_without_being_deleted() {
    let test = Test::shared("move").await;
    for name in ["dropped", "ignored"] {
        let (from, to) = (format!("from-{name}"), format!("to-{name}"));
        let [beside, own] = ["beside", "own"].map(|part| test.config_map(&format!("{name}-{part}"), "one"));
        test.declare(&from, &[&*test.config_map(name, "one"), &*beside].concat()).await;
        test.declare(&to, &own).await;
        let uid = test.uid("configmaps", name).await;

        test.secret(&to, &[&*test.config_map(name, "two"), &*own].concat()).await;
        test.message(&to, "ApplyFailed", &["is held by ManagedResource"]).await;
        let ignored =
            test.config_map(name, "other").with_metadata("annotations: {resources.gardener.cloud/mode: Ignore}");
        let ignored = if name == "ignored" { ignored } else { String::new() };
        test.redeclare(&from, &[beside, ignored].concat()).await;
        test.has("configmaps", name, "/data/k", "two").await;
        test.applied(&to).await;
        test.alice.does(&format!("delete managedresource {from} --timeout=45s")).await;
        let object = test.get("configmaps", name).await.unwrap();
        assert_eq!(object["metadata"]["uid"], uid.as_str(), "it was handed over");
        let origin = &object["metadata"]["annotations"]["resources.gardener.cloud/origin"];
        assert_eq!(*origin, format!("{}/{to}", test.ns));
        let owner = [format!("is managed by ManagedResource {}/{to}", test.ns), format!("Secret {}/{to}", test.ns)];
        test.alice
            .is_refused(
                &["patch", "configmap", name, "-p", r#"{"data":{"k":"x"}}"#],
                &owner.each_ref().map(String::as_str),
            )
            .await;
    }
}

/// The other way round there is a time at which nobody declares it.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_dropped_first_and_declared_later_is_another_one() {
    let test = Test::shared("move").await;
    test.declare("from", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    test.declare("to", &test.config_map("c", "one")).await;
    let uid = test.uid("configmaps", "a").await;
    test.redeclare("from", &test.config_map("b", "one")).await;
    test.gone("configmaps", "a").await;
    test.redeclare("to", &[test.config_map("a", "two"), test.config_map("c", "one")].concat()).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    assert_ne!(test.uid("configmaps", "a").await, uid);
    // The first owner has forgotten it.
    test.alice.does("delete managedresource from --timeout=45s").await;
    assert!(test.get("configmaps", "b").await.is_none());
    test.has("configmaps", "a", "/data/k", "two").await;
    test.applied("to").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_there_is_taken_over() {
    let test = Test::shared("adopt").await;
    let created = test.alice.send("create", &test.config_map("a", "theirs")).await;
    created.success().unwrap();
    let uid = test.uid("configmaps", "a").await;
    test.declare("mr", &test.config_map("a", "ours")).await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!((object["data"]["k"].as_str(), object["metadata"]["uid"].as_str()), (Some("ours"), Some(uid.as_str())));
    let output = test.alice.with(&["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#]).await;
    assert!(output.refusal().unwrap().contains("is managed by ManagedResource"));
}
