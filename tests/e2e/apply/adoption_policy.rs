//! Objects that exist before a ManagedResource declares them.

use crate::harness::{Manifest as _, Test};

#[tokio::test(flavor = "multi_thread")]
async fn who_had_an_object_before_is_told() {
    let test = Test::shared("adopted").await;
    test.alice
        .send("create", &[test.config_map("a", "theirs"), test.config_map("b", "one")].concat())
        .await
        .success()
        .unwrap();
    test.declare(
        "mr",
        &[test.config_map("a", "one"), test.config_map("b", "one"), test.config_map("c", "one")].concat(),
    )
    .await;
    let reported = test.eventually("an Event about it", || async {
        test.events("Adopted").await.pop().ok_or_else(|| "there is none".to_owned())
    });
    let reported = reported.await;
    let of = |name: &str| format!("ConfigMap {}/{name} (written by kubectl-create)", test.ns);
    assert!(reported.contains(&of("a")) && reported.contains(&of("b")), "{reported}");
    assert!(!reported.contains(&format!("{}/c", test.ns)), "what we created is not taken over: {reported}");
    // A second pass is no first contact.
    test.resync("mr").await;
    assert_eq!(test.events("Adopted").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn never_takes_over_nothing_and_heals_when_the_object_is_gone() {
    let test = Test::shared("never").await;
    test.alice.send("create", &test.config_map("a", "theirs")).await.success().unwrap();
    let uid = test.uid("configmaps", "a").await;
    test.declare("mr", &[test.config_map("a", "ours"), test.config_map("b", "ours")].concat())
        .with("adopt", "Never")
        .write()
        .await;
    let parts = ["it exists already (written by kubectl-create) and spec.adopt is Never", "document 1"];
    test.message("mr", "ApplyFailed", &parts).await;
    test.has("configmaps", "b", "/data/k", "ours").await;
    test.has("configmaps", "a", "/data/k", "theirs").await;
    let mr = test.get("managedresources", "mr").await.unwrap();
    let managed: Vec<_> =
        mr["status"]["resources"].as_array().unwrap().iter().map(|managed| managed["name"].clone()).collect();
    assert_eq!(managed, ["b"], "what is not taken over never enters the inventory");
    // It is nobody's of ours: not protected, and not deleted with the ManagedResource.
    test.alice.does(r#"patch configmap a -p {"data":{"k":"mine"}}"#).await;

    test.alice.does("delete configmap a").await;
    test.alice.does("annotate managedresource mr gardener.cloud/operation=reconcile").await;
    test.has("configmaps", "a", "/data/k", "ours").await;
    test.applied("mr").await;
    assert_ne!(test.uid("configmaps", "a").await, uid);
    // Held by now: a restart of the pass does not ask again.
    test.resync("mr").await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("configmaps", "a").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_somebody_is_left_to_them() {
    let test = Test::shared("unowned").await;
    let marked = |name: &str, mark: &str| test.config_map(name, "theirs").with_metadata(mark);
    let manifests = [
        marked("helm", "annotations: {meta.helm.sh/release-name: web}"),
        marked("flux", "labels: {kustomize.toolkit.fluxcd.io/name: web}"),
        test.config_map("free", "theirs"),
    ];
    test.alice.send("create", &manifests.concat()).await.success().unwrap();
    test.declare("mr", &["helm", "flux", "free"].map(|name| test.config_map(name, "ours")).concat())
        .with("adopt", "IfUnowned")
        .write()
        .await;
    let parts = ["2 errors occurred", "belongs to a Helm release", "belongs to a Flux Kustomization"];
    test.message("mr", "ApplyFailed", &parts).await;
    for (name, value) in [("helm", "theirs"), ("flux", "theirs"), ("free", "ours")] {
        test.has("configmaps", name, "/data/k", value).await;
    }
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("configmaps", "helm").await.is_some() && test.get("configmaps", "free").await.is_none());
}
