//! Secrets and ManagedResources are read before they are stored.
use serde_json::{Value, json};

use crate::harness::Test;

const BAD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n---\nkind: ConfigMap\nmetadata:\n  name: b\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c\n";

fn secret(name: &str, labels: &Value, content: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels},
        "stringData": {"objects.yaml": content}})
    .to_string()
}

fn managed_resource(name: &str, secrets: &[&str]) -> String {
    let references: Vec<Value> = secrets.iter().map(|name| json!({"name": name})).collect();
    json!({"apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource",
        "metadata": {"name": name}, "spec": {"secretRefs": references}})
    .to_string()
}

/// Both faults of [`BAD`]: a missing apiVersion, and text that is no YAML.
const FAULTS: [&str; 4] = [
    "manifests cannot be read:",
    r#"- key "objects.yaml", document 2, line 6: "#,
    r#"- key "objects.yaml", document 3, line "#,
    "(Forbidden)",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_referenced_secret_must_be_readable() {
    let test = Test::shared("secrets").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let referenced = format!("Secret {0}/mr is referenced by ManagedResource {0}/mr", test.ns);
    let parts = [&[referenced.as_str()][..], &FAULTS].concat();
    let before = test.get("secrets", "mr").await.unwrap();
    test.alice.send_is_refused("apply --server-side --force-conflicts", &secret("mr", &json!({}), BAD), &parts).await;
    test.alice.send_is_refused("replace", &secret("mr", &json!({}), BAD), &parts).await;
    assert_eq!(test.get("secrets", "mr").await.unwrap(), before);

    // The same for a Secret that does not exist yet.
    let warning = test.alice.sends("create", &managed_resource("early", &["late"])).await;
    assert!(warning.contains(&format!("Warning: Secret {}/late does not exist yet", test.ns)), "{warning}");
    test.reason("early", "CannotReadSecret").await;
    test.alice.send_is_refused("create", &secret("late", &json!({}), BAD), &FAULTS).await;
    test.alice.sends("create", &secret("late", &json!({}), &test.config_map("b", "one"))).await;
    test.applied("early").await;
    let deleted = test.alice.does("delete secret late").await;
    assert!(deleted.contains("Warning: Secret") && deleted.contains("pruning is held back"), "{deleted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_labelled_secret_must_be_readable_and_others_need_not() {
    let test = Test::shared("secrets").await;
    let labels = json!({"resources.gardener.cloud/manifests": "true"});
    let reason = format!("Secret {}/x carries the label resources.gardener.cloud/manifests=true", test.ns);
    test.alice.send_is_refused("create", &secret("x", &labels, BAD), &[&[reason.as_str()][..], &FAULTS].concat()).await;
    test.alice.sends("create", &secret("x", &json!({}), BAD)).await;
    // Nobody asked for a check so far; now somebody does.
    let label = test.alice.run("label secret x resources.gardener.cloud/manifests=true").await;
    assert!(label.refusal().unwrap().contains(FAULTS[1]));
    test.alice.does("label secret x other=label").await;
    test.alice.does("delete secret x").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_resource_must_name_readable_secrets() {
    let test = Test::shared("secrets").await;
    test.alice.sends("create", &secret("bad", &json!({}), BAD)).await;
    test.alice.sends("create", &secret("good", &json!({}), &test.config_map("a", "one"))).await;
    test.alice.send_is_refused("create", &managed_resource("mr", &["good", "bad"]), &FAULTS).await;
    assert!(test.get("managedresources", "mr").await.is_none());
    test.alice.sends("create", &managed_resource("mr", &["good"])).await;
    test.applied("mr").await;
    let add = r#"{"spec":{"secretRefs":[{"name":"good"},{"name":"bad"}]}}"#;
    let output = test.alice.with(&["patch", "managedresource", "mr", "--type=merge", "-p", add]).await;
    assert!(output.refusal().unwrap().contains(FAULTS[1]));
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_read_stays_with_that() {
    let test = Test::shared("bob").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    test.bob.does("get managedresource mr").await;
    let refusal = test.bob.run("delete configmap a").await.refusal().unwrap();
    assert!(refusal.contains(r#"User "bob" cannot delete"#), "authorisation comes first: {refusal}");
}
