//! Fields that a ManagedResource leaves to others: `spec.protection.ignorePaths`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{PROTECTION, Test, may, nothing_happens_for, printed};

/// For a write that should not come.
const QUIET: Duration = Duration::from_secs(2);
const IMAGE: &str = "/spec/template/spec/containers/0/image";

fn two(test: &Test) -> String {
    test.config_map("a", "one").replace("\ndata:\n", "\ndata:\n  free: mine\n")
}

async fn version(test: &Test, resource: &str, name: &str) -> Value {
    test.get(resource, name).await.unwrap()["metadata"]["resourceVersion"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_field_is_set_once_and_then_left_to_others() {
    let test = Test::shared("ignored").await;
    test.declare("mr", &two(&test)).ignore_paths(&["/data/free", "/data/other"]).await;
    test.has("configmaps", "a", "/data/free", "mine").await;

    let patch = ["patch", "configmap", "a", "-p", r#"{"data":{"free":"theirs","other":"new"}}"#];
    may(&test, &patch).await;
    test.alice
        .is_refused(&["patch", "configmap", "a", "-p", r#"{"data":{"free":"x","k":"x"}}"#], &["data.k is declared"])
        .await;
    test.alice
        .is_refused(&["patch", "configmap", "a", "-p", r#"{"data":{"third":"x"}}"#], &["data.third is not declared"])
        .await;
    let before = version(&test, "configmaps", "a").await;
    test.resync("mr").await;
    assert_eq!(version(&test, "configmaps", "a").await, before);

    // A change of the rest of the manifest, and of the value itself, leaves it as it is.
    test.redeclare("mr", &two(&test).replace("one", "two").replace("mine", "ours")).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    let data = test.get("configmaps", "a").await.unwrap()["data"].clone();
    assert_eq!(data, json!({"k": "two", "free": "theirs", "other": "new"}));
    assert!(test.events("Repaired").await.is_empty());

    // What others remove stays away, through a resync, too.
    may(&test, &["patch", "configmap", "a", "-p", r#"{"data":{"free":null}}"#]).await;
    test.resync("mr").await;
    nothing_happens_for(QUIET, "the ignored field comes back").await;
    test.has("configmaps", "a", "/data/free", Value::Null).await;

    // Deleted and created anew, it has what the manifest says.
    test.mr("mr", &["mr"], json!({"protection": {"mode": "Off", "ignorePaths": [{"path": "/data/free"}]}})).await;
    test.applied("mr").await;
    may(&test, &["delete", "configmap", "a"]).await;
    test.has("configmaps", "a", "/data/free", "ours").await;
}

/// With the webhook out of the way, so that the controller has to tell.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_beside_an_ignored_field_is_put_right_and_it_is_not() {
    let test = Test::shared("beside").await;
    let manifests = [two(&test), test.deployment("web")].concat();
    let image = "/spec/template/spec/containers[name=main]/image";
    let paths = json!([{"path": "/data/free", "kind": "ConfigMap"}, {"path": image}, {"path": "/spec/template/spec/containers[name=spy]"}]);
    test.declare("mr", &manifests).mode("Off").protection("ignorePaths", paths).await;

    test.merge("configmaps", "a", "kubectl-edit", &json!({"data": {"free": "x", "k": "x", "more": "x"}})).await;
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("configmaps", "a", "/data/more", Value::Null).await;
    test.has("configmaps", "a", "/data/free", "x").await;

    let containers = json!([{"name": "main", "image": "x", "command": ["x"]}, {"name": "spy", "image": "spy"}, {"name": "evil", "image": "evil"}]);
    let edit = json!({"spec": {"paused": true, "template": {"spec": {"containers": containers}}}});
    test.strategic("deployments", "web", "kubectl-edit", &edit).await;
    test.has("deployments", "web", "/spec/paused", Value::Null).await;
    let settled = || async {
        let object = test.try_get("deployments", "web").await?.ok_or("it is gone")?;
        let mut containers = object["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default();
        containers.sort_by_key(|container| container["name"].to_string());
        let is = |position: usize, field: &str| containers.get(position).map(|container| container[field].clone());
        let found = [is(0, "name"), is(0, "image"), is(0, "command"), is(1, "name"), is(2, "name")];
        let desired = [json!("main"), json!("x"), Value::Null, json!("spy")].map(Some);
        if found[..4] == desired && found[4].is_none() { Ok(()) } else { Err(format!("{containers:?}")) }
    };
    test.eventually("only what is ignored to be left", settled).await;
    nothing_happens_for(QUIET, "the ignored fields are repaired").await;
    settled().await.unwrap();
    let reported = test.events("Repaired").await;
    assert!(
        reported.iter().any(|note| note.contains("data.k")) && reported.iter().all(|note| !note.contains("data.free")),
        "{reported:?}"
    );

    // An image that the Secret changes is not applied, another field of the container is.
    let next = manifests.replace("image: nginx}", "image: other, workingDir: /tmp}");
    test.redeclare("mr", &next).await;
    test.has("deployments", "web", "/spec/template/spec/containers/0/workingDir", "/tmp").await;
    test.has("deployments", "web", IMAGE, "x").await;
    // A container that the manifest adds comes as a whole.
    test.redeclare(
        "mr",
        &next.replace("      - {name: main", "      - {name: third, image: third}\n      - {name: main"),
    )
    .await;
    test.eventually("the third container", || async {
        let object = test.try_get("deployments", "web").await?.ok_or("it is gone")?;
        let containers = &object["spec"]["template"]["spec"]["containers"];
        let images = ["third", "x", "spy"]
            .map(|image| containers.as_array().is_some_and(|list| list.iter().any(|c| c["image"] == image)));
        if images == [true; 3] { Ok(()) } else { Err(containers.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_goes_takes_its_fields_back() {
    let test = Test::shared("taken-back").await;
    let paths = json!([{"path": "/data/free"}, {"path": "/data/other"}, {"path": "/metadata/labels/team"}]);
    let manifest = two(&test).replace("  name: a\n", "  name: a\n  labels: {team: ours, app: x}\n");
    test.declare("mr", &manifest).protection("ignorePaths", paths).await;
    may(
        &test,
        &["patch", "configmap", "a", "-p", r#"{"data":{"free":"x","other":"x"},"metadata":{"labels":{"team":"x"}}}"#],
    )
    .await;
    test.alice
        .is_refused(&["label", "configmap", "a", "--overwrite", "app=y"], &["metadata.labels.app is declared"])
        .await;
    test.mr("mr", &["mr"], json!({"protection": {"ignorePaths": [{"path": "/metadata/labels/team"}]}})).await;
    test.has("configmaps", "a", "/data/free", "mine").await;
    test.has("configmaps", "a", "/data/other", Value::Null).await;
    test.applied("mr").await;
    test.has("configmaps", "a", "/metadata/labels/team", "x").await;
    test.eventually("the webhook to know", || async {
        let output =
            test.alice.with(&["patch", "configmap", "a", "--dry-run=server", "-p", r#"{"data":{"free":"x"}}"#]).await;
        output.refusal().map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
    test.mr("mr", &["mr"], json!({})).await;
    test.has("configmaps", "a", "/metadata/labels/team", "ours").await;
}

/// In declared scope, too; for those objects only that the filters mean; and through `kubectl scale`.
#[tokio::test(flavor = "multi_thread")]
async fn filters_and_scopes_and_scale() {
    let test = Test::shared("filters").await;
    let manifests = [test.deployment("web"), test.deployment("other")].concat();
    let paths = json!([{"path": "/spec/replicas", "group": "apps", "kind": "Deployment", "name": "web"}]);
    test.declare("mr", &manifests).scope("Declared").protection("ignorePaths", paths).await;
    may(&test, &["scale", "deployment", "web", "--replicas=5"]).await;
    may(&test, &["patch", "deployment", "web", "-p", r#"{"spec":{"replicas":6,"minReadySeconds":3}}"#]).await;
    test.alice.is_refused(&["scale", "deployment", "other", "--replicas=5"], &["spec.replicas is declared"]).await;
    let image = r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"x"}]}}}}"#;
    test.alice.is_refused(&["patch", "deployment", "web", "-p", image], &["image"]).await;
    test.resync("mr").await;
    test.has("deployments", "web", "/spec/replicas", 6).await;
    test.has("deployments", "web", "/spec/minReadySeconds", 3).await;
}

/// A path into what is owned as a whole means nothing, for webhook and controller alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_atomic_list_cannot_be_ignored() {
    let test = Test::shared("atomic").await;
    let role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: r, namespace: {}}}\nrules:\n- {{apiGroups: [\"\"], resources: [pods], verbs: [get]}}\n",
        test.ns
    );
    let roles = "rbac.authorization.k8s.io/v1/roles";
    test.declare("mr", &role).ignore_paths(&["/rules/*/verbs"]).await;
    let edit = [r#"{"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["list"]}]}"#];
    test.alice.is_refused(&["patch", "role", "r", "--type=merge", "-p", edit[0]], &["rules is declared"]).await;
    test.declare("mr", &role).mode("Off").ignore_paths(&["/rules/*/verbs"]).await;
    let edit: Value = serde_json::from_str(edit[0]).unwrap();
    test.merge(roles, "r", "kubectl-edit", &edit).await;
    test.has(roles, "r", "/rules/0/verbs", json!(["get"])).await;
}

/// Duplicate names in a list: the server refuses to apply such a manifest, and it is written without apply.
#[tokio::test(flavor = "multi_thread")]
async fn paths_hold_in_what_cannot_be_applied() {
    let test = Test::shared("ignored-plain").await;
    let env = "image: nginx, env: [{name: A, value: a}, {name: A, value: b}]}";
    let manifest = test.deployment("web").replace("image: nginx}", env);
    test.declare("mr", &manifest).ignore_paths(&["/spec/replicas"]).await;
    may(&test, &["patch", "deployment", "web", "-p", r#"{"spec":{"replicas":5}}"#]).await;
    // In exact scope additions are refused as well.
    test.alice.is_refused(&["patch", "deployment", "web", "-p", r#"{"spec":{"paused":true}}"#], &["spec.paused"]).await;
    test.redeclare("mr", &manifest.replace("nginx", "two")).await;
    test.has("deployments", "web", IMAGE, "two").await;
    test.has("deployments", "web", "/spec/replicas", 5).await;
    test.mr("mr", &["mr"], json!({})).await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_nobody_can_read_is_refused_and_harms_nobody() {
    let test = Test::shared("bad-path").await;
    test.declare("mr", &two(&test)).ignore_paths(&["/data/free"]).await;
    let bad = json!({"protection": {"ignorePaths": [{"path": "/data/free"}, {"path": "data.free"}]}});
    let refusal = test.try_mr("mr", &["mr"], bad.clone()).await.unwrap_err().to_string();
    assert!(refusal.contains(r#"spec.protection.ignorePaths[1]: "data.free": it is no JSON pointer"#), "{refusal}");
    let spec = json!({"protection": {"ignorePaths": [{"path": PROTECTION}]}});
    let refusal = test.try_mr("mr", &["mr"], spec).await.unwrap_err().to_string();
    assert!(refusal.contains("reserved for Holdfast"), "{refusal}");
    // A number is taken for the name of a field: a warning, shown by kubectl.
    let patch =
        r#"{"spec":{"protection":{"ignorePaths":[{"path":"/spec/containers/0/image"},{"path":"/data/free"}]}}}"#;
    let output = test.alice.with(&["patch", "managedresource", "mr", "--type=merge", "-p", patch]).await;
    assert!(
        output.status.success() && printed(&output).contains("0 is taken for the name of a field"),
        "{}",
        printed(&output)
    );
    test.applied("mr").await;
    may(&test, &["patch", "configmap", "a", "-p", r#"{"data":{"free":"x"}}"#]).await;
}
