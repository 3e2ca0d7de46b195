//! Break-glass: pauses of objects until a time, who may begin one, and what remains of it.
use std::time::Duration;

use holdfast_e2e::kubectl::Output;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::harness::{IGNORE, PROTECTION, Person, Test, nothing_happens_for, printed, refusal, reported, text};

fn in_seconds(seconds: i64) -> String {
    (Timestamp::now() + SignedDuration::from_secs(seconds)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Of a ConfigMap.
fn pause(name: &str, seconds: i64) -> Value {
    json!({"group": "", "kind": "ConfigMap", "name": name, "until": in_seconds(seconds), "reason": "an incident"})
}

async fn set(person: &Person, mr: &str, pauses: &Value) -> Output {
    let patch = json!({"spec": {"protection": {"pauses": pauses}}}).to_string();
    person.with(&["patch", "managedresource", mr, "--type=merge", "-p", &patch]).await
}

async fn sets(person: &Person, mr: &str, pauses: &Value) -> String {
    let output = set(person, mr, pauses).await;
    assert!(output.status.success(), "{pauses}: {}", printed(&output));
    printed(&output)
}

async fn edit(person: &Person, name: &str, value: &str) -> Output {
    let patch = json!({"data": {"k": value}}).to_string();
    person.with(&["patch", "configmap", name, "-p", &patch]).await
}

/// The webhook knows of a pause at once, the controller and the other replica within moments.
async fn edits(test: &Test, name: &str, value: &str) -> String {
    test.has("configmaps", name, PROTECTION, "off").await;
    let output = test.eventually("an edit to pass", || async {
        let output = edit(&test.alice, name, value).await;
        if output.status.success() { Ok(printed(&output)) } else { Err(printed(&output)) }
    });
    output.await
}

async fn edit_is_refused(test: &Test, name: &str) -> String {
    refusal(name, &edit(&test.alice, name, "nobody's").await, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn alice_pauses_edits_and_sees_her_edit_undone() {
    let test = Test::shared("pauses").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    let refusal = edit_is_refused(&test, "a").await;
    // What the refusal proposes is a command.
    let command = refusal.split_once("with: kubectl ").expect("a command").1;
    let (words, patch) = command.split_once(" -p '").expect("a patch");
    let patch = patch.split_once('\'').expect("the end of the patch").0;
    assert!(refusal.len() < 1024 && words.starts_with("patch mr -n "), "{refusal}");
    let mut args: Vec<&str> = words.split(' ').collect();
    args.extend(["-p", patch]);
    let pasted = test.alice.with(&args).await;
    assert!(pasted.status.success(), "{args:?}: {}", printed(&pasted));
    edits(&test, "a", "pasted").await;
    sets(&test.alice, "mr", &Value::Null).await;
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("configmaps", "a", PROTECTION, "deny").await;

    // The same for a moment only.
    let until = in_seconds(15);
    let entry = json!({"group": "", "kind": "ConfigMap", "namespace": test.ns, "name": "a", "until": until, "reason": "an incident"});
    let printed = sets(&test.alice, "mr", &json!([entry])).await;
    assert!(printed.contains(&format!("ConfigMap {}/a is paused until {until}", test.ns)), "{printed}");
    let printed = edits(&test, "a", "mine").await;
    assert!(printed.contains(&format!("is paused until {until}: the change will be undone then")), "{printed}");
    let mut writes = test.writes();
    let message = test.message("mr", "ApplySucceeded", &["is paused until", &until, "(reason: an incident)"]).await;
    assert!(message.starts_with("All resources are applied."), "{message}");
    assert!(edit_is_refused(&test, "b").await.contains("data.k is declared"), "its sibling is protected");
    test.has("configmaps", "b", PROTECTION, "deny").await;
    nothing_happens_for(Duration::from_secs(1), "the edit is undone").await;
    assert_eq!(test.get("configmaps", "a").await.unwrap()["data"]["k"], "mine", "nobody has undone it yet");
    assert!(writes.more().is_empty(), "nothing is written while it lasts");

    test.has("configmaps", "a", "/data/k", "one").await;
    assert!(Timestamp::now() >= until.parse().unwrap(), "not before the end");
    test.has("configmaps", "a", PROTECTION, "deny").await;
    assert!(edit_is_refused(&test, "a").await.contains("data.k is declared"));
    reported(
        &test,
        "Paused",
        &["By user \"alice\"", &format!("ConfigMap {}/a is paused until {until}", test.ns), "an incident"],
    )
    .await;
    reported(&test, "PauseEnded", &[&format!("The pause of ConfigMap {}/a is over", test.ns)]).await;
    reported(&test, "Repaired", &["/a (kubectl-patch: data.k)"]).await;
    test.eventually("the condition to say nothing of it", || async {
        let mr = test.get("managedresources", "mr").await.unwrap();
        let conditions = mr["status"]["conditions"].to_string();
        if conditions.contains("paused") { Err(conditions) } else { Ok(()) }
    })
    .await;
    let fields = test.get("configmaps", "a").await.unwrap()["metadata"]["managedFields"].to_string();
    assert!(!fields.contains("holdfast-pause"), "{fields}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_while_it_is_paused_comes_back() {
    let test = Test::shared("pauses").await;
    test.declare(
        "mr",
        &[test.config_map("a", "one"), test.config_map("b", "one"), test.config_map("c", "one")].concat(),
    )
    .await;
    let (a, b, c) = (pause("a", 3600), pause("b", 3600), pause("c", 3600));
    sets(&test.alice, "mr", &json!([a, b, c])).await;
    test.has("configmaps", "a", PROTECTION, "off").await;
    test.has("configmaps", "b", PROTECTION, "off").await;
    let printed = test.alice.does("delete configmap a").await;
    assert!(printed.contains("will be created again then"), "{printed}");
    // Another manifest, one object less, and a new one that is not paused.
    test.redeclare(
        "mr",
        &[test.config_map("a", "two"), test.config_map("b", "two"), test.config_map("d", "two")].concat(),
    )
    .await;
    test.has("configmaps", "d", "/data/k", "two").await;
    let parts = ["2 objects wait for the end of the pause", "1 object that no manifest declares stays"];
    test.message("mr", "ApplySucceeded", &parts).await;
    assert!(test.get("configmaps", "a").await.is_none(), "it stays deleted");
    assert_eq!(test.get("configmaps", "b").await.unwrap()["data"]["k"], "one", "it is not updated");
    assert!(test.get("configmaps", "c").await.is_some(), "it is not deleted");
    // Bob may not begin pauses, but end them; so may everybody who may change the ManagedResource.
    sets(&test.alice, "mr", &Value::Null).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.has("configmaps", "b", "/data/k", "two").await;
    test.has("configmaps", "b", PROTECTION, "deny").await;
    test.gone("configmaps", "c").await;
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_only_marked_is_no_repair() {
    let test = Test::shared("pauses").await;
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).await;
    let generation = test.get("deployments", "web").await.unwrap()["metadata"]["generation"].clone();
    sets(&test.alice, "mr", &json!([{"until": in_seconds(3600)}])).await;
    test.has("configmaps", "a", PROTECTION, "off").await;
    test.has("deployments", "web", PROTECTION, "off").await;
    let printed = test.alice.does("scale deployment web --replicas=2").await;
    assert!(!printed.contains("Warning"), "nothing is changed: {printed}");
    let printed = test.alice.does("scale deployment web --replicas=3").await;
    assert!(printed.contains("is paused until"), "{printed}");
    sets(&test.alice, "mr", &json!([])).await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
    test.has("deployments", "web", PROTECTION, "deny").await;
    test.has("configmaps", "a", PROTECTION, "deny").await;
    reported(&test, "Repaired", &["/web"]).await;
    let notes = test.events("Repaired").await;
    assert!(!notes.iter().any(|note| note.contains("ConfigMap")), "{notes:?}");
    assert_ne!(test.get("deployments", "web").await.unwrap()["metadata"]["generation"], generation);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_annotation_marks_and_unmarks() {
    let test = Test::shared("pauses").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    let printed = test.alice.does(&format!("annotate managedresource mr {IGNORE}=true")).await;
    assert!(printed.contains(&format!("annotation {IGNORE} has no end")), "{printed}");
    let printed = edits(&test, "a", "mine").await;
    assert!(printed.contains(&format!("is paused until annotation {IGNORE} is taken off")), "{printed}");
    reported(&test, "Paused", &["By user \"alice\"", "all objects are paused without an end"]).await;
    test.alice.does(&format!("annotate managedresource mr {IGNORE}-")).await;
    test.has("configmaps", "a", "/data/k", "one").await;
    for name in ["a", "b"] {
        test.has("configmaps", name, PROTECTION, "deny").await;
    }
    reported(&test, "PauseEnded", &["The pause of all objects is over"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_at_once_also_where_drift_waits_for_the_next_sync() {
    let test = Test::shared("pauses").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).repair("Resync").await;
    sets(&test.alice, "mr", &json!([pause("a", 15), pause("b", 15)])).await;
    edits(&test, "a", "mine").await;
    test.has("configmaps", "b", PROTECTION, "off").await;
    test.alice.does("delete configmap b").await;
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("configmaps", "b", "/data/k", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_resource_of_a_managed_resource_can_be_paused() {
    let test = Test::shared("pauses").await;
    test.secret("child", &test.config_map("a", "one")).await;
    let child = format!(
        "apiVersion: resources.gardener.cloud/v1alpha1\nkind: ManagedResource\nmetadata:\n  name: child\n  namespace: {}\nspec:\n  secretRefs:\n  - name: child\n",
        test.ns
    );
    test.declare("parent", &child).with("forceOverwriteAnnotations", true).await;
    test.applied("child").await;
    sets(&test.alice, "child", &json!([pause("a", 3600)])).await;
    edits(&test, "a", "mine").await;
    let off = r#"{"spec":{"protection":{"mode":"Off"}}}"#;
    let refusal = test.alice.with(&["patch", "mr", "child", "--type=merge", "-p", off]).await.refusal().unwrap();
    assert!(refusal.contains("spec.protection.mode is not declared"), "{refusal}");
    test.resync("parent").await;
    let child = test.get("managedresources", "child").await.unwrap();
    assert_eq!(child["spec"]["protection"]["pauses"].as_array().map(Vec::len), Some(1), "it is hers, not the parent's");
    sets(&test.alice, "child", &Value::Null).await;
    test.has("configmaps", "a", "/data/k", "one").await;
    test.alice.does(&format!("annotate managedresource child {IGNORE}=true")).await;
    test.resync("parent").await;
    test.has("managedresources", "child", "/metadata/annotations/resources.gardener.cloud~1ignore", "true").await;
    edits(&test, "a", "mine").await;
    test.alice.does(&format!("annotate managedresource child {IGNORE}-")).await;
    test.has("configmaps", "a", "/data/k", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_resource_with_a_pause_can_be_deleted() {
    let test = Test::shared("pauses").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    sets(&test.alice, "mr", &json!([{"until": in_seconds(3600)}])).await;
    test.has("configmaps", "a", PROTECTION, "off").await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("configmaps", "a").await.is_none());
}

/// Bob may change ManagedResources of the namespace.
async fn bob_may_edit(test: &Test) {
    let api = "apis/rbac.authorization.k8s.io/v1";
    let rules = json!([{"apiGroups": ["resources.gardener.cloud"], "resources": ["managedresources"],
        "verbs": ["get", "list", "watch", "create", "update", "patch"]}]);
    let role = json!({"metadata": {"name": "editor"}, "rules": rules});
    test.call("POST", &format!("/{api}/namespaces/{}/roles", test.ns), Some(&role)).await.unwrap();
    bind(test, "Role", "editor").await;
    test.eventually("bob to be allowed", || async {
        let output = test.bob.run("auth can-i patch managedresources").await;
        if output.stdout.trim() == "yes" { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
}

async fn bind(test: &Test, kind: &str, role: &str) {
    let api = "apis/rbac.authorization.k8s.io/v1";
    let binding = json!({
        "metadata": {"name": format!("bob-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}],
    });
    test.call("POST", &format!("/{api}/namespaces/{}/rolebindings", test.ns), Some(&binding)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bob_needs_the_verb_to_begin_a_pause() {
    let test = Test::shared("pauses").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    bob_may_edit(&test).await;
    let (short, long) = (pause("a", 1800), pause("a", 3600));
    let refusal = set(&test.bob, "mr", &json!([short])).await.refusal().unwrap();
    let why = format!("user \"bob\" may not pause ManagedResource {}/mr: that needs the verb \"override\"", test.ns);
    assert!(refusal.contains(&why) && refusal.contains("ClusterRole holdfast-override"), "{refusal}");
    let ignore = test.bob.run(&format!("annotate managedresource mr {IGNORE}=true")).await.refusal().unwrap();
    assert!(ignore.contains(&why), "{ignore}");
    let new = json!({"apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource",
        "metadata": {"name": "other"}, "spec": {"secretRefs": [], "protection": {"pauses": [short]}}});
    let created = test.bob.send("create", &new.to_string()).await.refusal().unwrap();
    assert!(created.contains("may not pause ManagedResource"), "{created}");
    // Anything else he may.
    test.bob.does("annotate managedresource mr example.com/team=b").await;
    sets(&test.alice, "mr", &json!([long])).await;
    sets(&test.bob, "mr", &json!([short])).await;
    let refusal = set(&test.bob, "mr", &json!([long])).await.refusal().unwrap();
    assert!(refusal.contains(&why), "prolonged: {refusal}");
    sets(&test.bob, "mr", &json!([])).await;
    test.alice.does(&format!("annotate managedresource mr {IGNORE}=true")).await;
    test.bob.does(&format!("annotate managedresource mr {IGNORE}-")).await;
    test.has("configmaps", "a", PROTECTION, "deny").await;

    bind(&test, "ClusterRole", "holdfast-override").await;
    test.eventually("bob to be allowed", || async {
        let output = test.bob.run("auth can-i override managedresources.resources.gardener.cloud/mr").await;
        if output.stdout.trim() == "yes" { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    sets(&test.bob, "mr", &json!([short])).await;
    reported(&test, "Paused", &["By user \"bob\""]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_that_make_no_sense_are_refused() {
    let test = Test::shared("pauses").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let refusal = set(&test.alice, "mr", &json!([pause("a", 25 * 3600)])).await.refusal().unwrap();
    assert!(refusal.contains("is too long: a pause may last 24h at most"), "{refusal}");
    // The schema takes it for a time.
    let unclear = json!([{"kind": "ConfigMap", "until": "2100-01-01T00:00:00+99:00"}]);
    let refusal = set(&test.alice, "mr", &unclear).await.refusal().unwrap();
    assert!(refusal.contains("spec.protection.pauses[0].until: \"2100-01-01T00:00:00+99:00\" is no time"), "{refusal}");
    let printed = sets(&test.alice, "mr", &json!([pause("a", -60)])).await;
    assert!(printed.contains("spec.protection.pauses[0] is over since"), "{printed}");
    test.applied("mr").await;
    assert!(edit_is_refused(&test, "a").await.contains("data.k is declared"));
    test.has("configmaps", "a", PROTECTION, "deny").await;
    let dry = json!({"spec": {"protection": {"pauses": [pause("a", 3600)]}}}).to_string();
    let dry = test.alice.with(&["patch", "mr", "mr", "--type=merge", "--dry-run=server", "-p", &dry]).await;
    assert!(warnings(&dry).contains("is paused until"), "the same answer");
    nothing_happens_for(Duration::from_secs(1), "an Event is published").await;
    assert_eq!(test.events("Paused").await, Vec::<String>::new(), "and no trace");
}

fn warnings(output: &Output) -> String {
    assert!(output.status.success(), "{}", printed(output));
    printed(output)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_leaves_a_trace_in_the_audit_log() {
    let test = Test::shared("pauses").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    sets(&test.alice, "mr", &json!([pause("a", 3600)])).await;
    edits(&test, "a", "mine").await;
    let log = std::fs::read_to_string(test.cluster.control_plane.audit_log()).unwrap();
    let of_test = |resource: &str| {
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events
            .filter(|event| {
                text(event, "/objectRef/namespace") == test.ns && text(event, "/objectRef/resource") == resource
            })
            .map(|event| event["annotations"].to_string())
            .collect::<Vec<_>>()
    };
    let has = |annotations: Vec<String>, part: &str| {
        assert!(annotations.iter().any(|all| all.contains(part)), "{annotations:?}");
    };
    has(of_test("managedresources"), "managedresources.resources.gardener.cloud/pause-decision\":\"granted\"");
    has(of_test("managedresources"), "ConfigMap */a is paused until");
    has(of_test("configmaps"), "paused.protect.resources.gardener.cloud/decision\":\"paused\"");
}
