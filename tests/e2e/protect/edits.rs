//! What people may not do to managed objects, whoever they are.
use serde_json::{Value, json};

use crate::harness::{PROTECTION, Person, Test, refusal};

/// What must not change.
async fn content(test: &Test, resource: &str, name: &str) -> Value {
    let object = test.get(resource, name).await.expect("the object is there");
    if resource == "configmaps" {
        return json!([object["metadata"]["uid"], object["metadata"]["resourceVersion"]]);
    }
    // The status of a workload moves by itself, and the resourceVersion with it.
    let metadata = &object["metadata"];
    json!([metadata["uid"], metadata["generation"], metadata["labels"], metadata["annotations"], object["spec"]])
}

async fn refused_without_effect(test: &Test, person: &Person, object: (&str, &str), args: &[&str], parts: &[&str]) {
    let before = content(test, object.0, object.1).await;
    refusal(&args.join(" "), &person.with(args).await, parts);
    assert_eq!(content(test, object.0, object.1).await, before, "{args:?}");
}

fn pause(test: &Test) -> String {
    format!("with: kubectl patch mr -n {} mr --type=merge -p '{{\"spec\":{{\"protection\":{{\"pauses\":[{{", test.ns)
}

/// What every refusal of a change names: the object, who holds it, where to change it, how to pause.
fn common(test: &Test, subject: &str) -> Vec<String> {
    let ns = &test.ns;
    vec![
        format!("{subject} is managed by ManagedResource {ns}/mr"),
        "would be reset. Change the Secret".into(),
        pause(test),
    ]
}

async fn change_is_refused(test: &Test, person: &Person, object: (&str, &str), args: &[&str], field: &str) {
    let group = if object.0 == "deployments" { "deployments.apps" } else { object.0 };
    let mut parts = common(test, &format!("{group} {:?}", object.1));
    parts.push(field.to_owned());
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    refused_without_effect(test, person, object, args, &parts).await;
}

const A: (&str, &str) = ("configmaps", "a");
const WEB: (&str, &str) = ("deployments", "web");

#[tokio::test(flavor = "multi_thread")]
async fn alice_may_not_change_a_managed_object() {
    let test = Test::shared("protect").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let alice = &test.alice;
    let declared = format!("data.k is declared in Secret {}/mr", test.ns);
    let mark = "metadata.labels[resources.gardener.cloud/protection] is reserved for Holdfast";

    for kind in ["strategic", "merge"] {
        let patch = ["patch", "configmap", "a", "--type", kind, "-p", r#"{"data":{"k":"x"}}"#];
        change_is_refused(&test, alice, A, &patch, &declared).await;
    }
    let remove = r#"[{"op":"remove","path":"/data/k"}]"#;
    change_is_refused(
        &test,
        alice,
        A,
        &["patch", "configmap", "a", "--type=json", "-p", remove],
        "data is declared in",
    )
    .await;
    let strip = ["label", "configmap", "a", "resources.gardener.cloud/protection-"];
    change_is_refused(&test, alice, A, &strip, mark).await;
    let off = ["label", "configmap", "a", "resources.gardener.cloud/protection=off", "--overwrite"];
    change_is_refused(&test, alice, A, &off, mark).await;
    let origin = ["annotate", "configmap", "a", "resources.gardener.cloud/origin-"];
    change_is_refused(&test, alice, A, &origin, "metadata.annotations[resources.gardener.cloud/origin]").await;
    let owner = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"x"}]}}"#;
    let owner = ["patch", "configmap", "a", "--type=merge", "-p", owner];
    change_is_refused(&test, alice, A, &owner, "metadata.ownerReferences is reserved for Holdfast").await;
    let forget = r#"{"metadata":{"managedFields":[{}]}}"#;
    let forget = ["patch", "configmap", "a", "--type=merge", "-p", forget];
    change_is_refused(&test, alice, A, &forget, "metadata.managedFields").await;
    let dry = ["patch", "configmap", "a", "--dry-run=server", "-p", r#"{"data":{"k":"x"}}"#];
    change_is_refused(&test, alice, A, &dry, &declared).await;

    let before = content(&test, A.0, A.1).await;
    refusal("edit", &alice.edit("configmap/a", "s/one/two/").await, &[&declared, &pause(&test)]);
    let other = test.config_map("a", "three");
    // What the file does not say would go, labels and all.
    let replaced = ["(Forbidden)", "data.k", "metadata.labels", "would be reset", &pause(&test)];
    refusal("replace", &alice.send("replace", &other).await, &replaced);
    refusal("apply", &alice.send("apply", &other).await, &["(Forbidden)", &declared, &pause(&test)]);
    let conflict = alice.send("apply --server-side --force-conflicts", &other).await;
    refusal("apply --server-side", &conflict, &["(Forbidden)", &declared, &pause(&test)]);
    assert_eq!(content(&test, A.0, A.1).await, before);
    assert!(test.events("Repaired").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn alice_may_not_delete_a_managed_object() {
    let test = Test::shared("protect").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let subject = format!("configmaps \"a\" is managed by ManagedResource {}/mr and would be created again", test.ns);
    let remove = format!("Remove it from Secret {}/mr", test.ns);
    let pause = pause(&test);
    let parts = ["(Forbidden)", subject.as_str(), &remove, &pause];
    for args in [
        &["delete", "configmap", "a"][..],
        &["delete", "configmap", "a", "--cascade=orphan"],
        // A collection: the review has no name.
        &["delete", "configmap", "--all"],
        &["delete", "configmap", "-l", "resources.gardener.cloud/protection=deny"],
    ] {
        refused_without_effect(&test, &test.alice, A, args, &parts).await;
    }
    let raw = format!("/api/v1/namespaces/{}/configmaps", test.ns);
    let subject = &parts[1..];
    refused_without_effect(&test, &test.alice, A, &["delete", "--raw", &raw], subject).await;
    assert!(test.events("Repaired").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn alice_may_not_change_a_managed_workload() {
    let test = Test::shared("protect").await;
    test.declare("mr", &test.deployment("web")).await;
    test.has("deployments", "web", "/status/replicas", 2).await;
    let (alice, secret) = (&test.alice, format!("declared in Secret {}/mr", test.ns));
    let replicas = format!("spec.replicas is {secret}");

    change_is_refused(&test, alice, WEB, &["scale", "deployment", "web", "--replicas=5"], &replicas).await;
    let patch = ["patch", "deployment", "web", "-p", r#"{"spec":{"replicas":0}}"#];
    change_is_refused(&test, alice, WEB, &patch, &replicas).await;
    let image = ["set", "image", "deployment/web", "main=nginx:2"];
    change_is_refused(&test, alice, WEB, &image, &secret).await;
    let both = r#"[{"op":"replace","path":"/spec/replicas","value":7},
        {"op":"replace","path":"/spec/template/spec/containers/0/image","value":"x"}]"#;
    let both = ["patch", "deployment", "web", "--type=json", "-p", both];
    change_is_refused(&test, alice, WEB, &both, &format!("are {secret}")).await;
    refused_without_effect(
        &test,
        alice,
        WEB,
        &["delete", "deployment", "web"],
        &["and would be created again", &pause(&test)],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_rank_does_not_help() {
    let test = Test::shared("protect").await;
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).await;
    let declared = format!("data.k is declared in Secret {}/mr", test.ns);
    let patch = ["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#];
    change_is_refused(&test, &test.admin, A, &patch, &declared).await;
    let strip = ["label", "configmap", "a", "resources.gardener.cloud/protection-"];
    change_is_refused(&test, &test.admin, A, &strip, "reserved for Holdfast").await;
    change_is_refused(&test, &test.admin, WEB, &["scale", "deployment", "web", "--replicas=5"], "spec.replicas is")
        .await;
    refused_without_effect(
        &test,
        &test.admin,
        A,
        &["delete", "configmap", "a"],
        &["(Forbidden)", "and would be created again"],
    )
    .await;
    // An add-on in kube-system is not a controller of the control plane.
    let addon = ["--as=system:serviceaccount:kube-system:default", "--as-group=system:masters"];
    let patch = [&patch[..], &addon].concat();
    change_is_refused(&test, &test.admin, A, &patch, &declared).await;
}

/// An edit is stored, told of and undone.
async fn passes_and_is_undone(test: &Test) {
    test.has("configmaps", "a", PROTECTION, "off").await;
    let before = content(test, "configmaps", "a").await;
    test.eventually("an edit to pass", || async {
        let output = test.alice.with(&["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#]).await;
        output.success().map_err(|error| error.to_string())
    })
    .await;
    test.has("configmaps", "a", "/data/k", "one").await;
    assert_ne!(content(test, "configmaps", "a").await, before, "the edit was stored");
    test.eventually("the Event that says so", || async {
        let notes = test.events("Repaired").await;
        if notes.iter().any(|note| note.contains("/a")) { Ok(()) } else { Err(format!("{notes:?}")) }
    })
    .await;
}

async fn is_refused_again(test: &Test) {
    test.has("configmaps", "a", PROTECTION, "deny").await;
    let output = test.alice.with(&["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#]).await;
    refusal("patch", &output, &["data.k is declared"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_off_in_the_spec_lets_edits_through_and_undoes_them() {
    let test = Test::shared("off").await;
    test.declare("mr", &test.config_map("a", "one")).mode("Off").await;
    passes_and_is_undone(&test).await;
    test.mr("mr", &["mr"], json!({"protection": {"mode": "Deny"}})).await;
    is_refused_again(&test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_off_in_the_annotation_lets_edits_through_and_undoes_them() {
    let test = Test::shared("off").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    test.alice.does("annotate managedresource mr resources.gardener.cloud/protection=off").await;
    passes_and_is_undone(&test).await;
    test.alice.does("annotate managedresource mr resources.gardener.cloud/protection-").await;
    is_refused_again(&test).await;
}
