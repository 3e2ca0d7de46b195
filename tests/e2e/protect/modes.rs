//! What becomes of an edit in each mode, by each way in which kubectl makes one.
use futures::{StreamExt, stream};
use holdfast_e2e::audit::AuditLog;
use holdfast_e2e::kubectl::Output;
use serde_json::{Value, json};

use crate::harness::{PROTECTION, Test, printed};

const ANNOTATION: &str = "resources.gardener.cloud/protection";
const PATCH: [&str; 5] = ["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#];

/// A ConfigMap `a` and a Deployment `web` in this mode. By `Resync`, what passes stays long enough to be looked at.
async fn protect(test: &Test, mode: &str, repair: &str) {
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).mode(mode).repair(repair).await;
    test.has("deployments", "web", "/status/replicas", 2).await;
    test.has("configmaps", "a", PROTECTION, mode.to_lowercase()).await;
}

/// Everything about an object but what the control plane writes by itself.
async fn state(test: &Test, resource: &str, name: &str) -> Value {
    let mut object = test.get(resource, name).await.expect("the object is there");
    if resource == "deployments" {
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.remove("resourceVersion");
        let entries = metadata["managedFields"].as_array_mut().unwrap();
        entries.retain(|entry| entry["subresource"] != "status");
        object.as_object_mut().unwrap().remove("status");
    }
    object
}

type Edit = (&'static str, (&'static str, &'static str), Output);

/// An edit of what is declared in one of the ways that kubectl has, scaling aside; `None` when there are no more.
async fn edit(test: &Test, number: usize) -> Option<Edit> {
    let (alice, a, web) = (&test.alice, ("configmaps", "a"), ("deployments", "web"));
    let other = test.config_map("a", "x");
    let remove = r#"[{"op":"remove","path":"/data/k"}]"#;
    let image =
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"x"},{"name":"spy","image":"x"}]}}}}"#;
    Some(match number {
        0 => ("edit", a, alice.edit("configmap/a", "s/one/two/").await),
        1 => ("patch", a, alice.with(&PATCH).await),
        2 => (
            "patch --type=merge",
            a,
            alice.with(&["patch", "configmap", "a", "--type=merge", "-p", r#"{"data":null}"#]).await,
        ),
        3 => ("patch --type=json", a, alice.with(&["patch", "configmap", "a", "--type=json", "-p", remove]).await),
        4 => ("apply --server-side", a, alice.send("apply --server-side --force-conflicts", &other).await),
        5 => ("replace", a, alice.send("replace", &other).await),
        6 => ("label", a, alice.run("label configmap a resources.gardener.cloud/protection-").await),
        7 => ("patch of a workload", web, alice.with(&["patch", "deployment", "web", "-p", image]).await),
        8 => ("set image", web, alice.run("set image deployment/web main=other").await),
        9 => ("edit of a workload", web, alice.edit("deployment/web", "s/nginx/other/").await),
        _ => return None,
    })
}

fn deletions() -> [&'static str; 2] {
    ["delete configmap a", "delete deployment web --cascade=orphan"]
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_revert_leaves_the_object_identical() {
    let test = Test::shared("revert").await;
    protect(&test, "Revert", "Watch").await;
    let before = [state(&test, "configmaps", "a").await, state(&test, "deployments", "web").await];
    let of = |resource: &str| if resource == "configmaps" { &before[0] } else { &before[1] };
    let mut writes = test.writes();
    let mut number = 0;
    while let Some((what, (resource, name), output)) = edit(&test, number).await {
        number += 1;
        let observed = printed(&output);
        assert!(output.status.success(), "{what}: {observed}");
        let subject = format!("{name:?} is managed by ManagedResource {}/mr: ", test.ns);
        for part in [subject.as_str(), "put back; nothing was changed. ", "or pause it until "] {
            assert!(output.stderr.contains(part), "{what}: no {part:?} in: {observed}");
        }
        assert_eq!(&state(&test, resource, name).await, of(resource), "{what}: {observed}");
    }
    let dry = test.alice.with(&[&PATCH[..], &["--dry-run=server", "-o", "jsonpath={.data.k}"]].concat()).await;
    assert!(dry.stdout == "one" && dry.stderr.contains("nothing was changed"), "{dry:?}");

    // What cannot be put back is refused.
    for words in deletions() {
        let refusal = test.alice.run(words).await.refusal().unwrap();
        assert!(refusal.contains("and would be created again"), "{words}: {refusal}");
    }
    let scale = test.alice.run("scale deployment web --replicas=5").await.refusal().unwrap();
    assert!(scale.contains("spec.replicas is declared in") && scale.contains("would be reset"), "{scale}");
    assert_eq!([state(&test, "configmaps", "a").await, state(&test, "deployments", "web").await], before);
    test.resync("mr").await;
    assert!(test.events("Repaired").await.is_empty(), "there was nothing to repair");
    let seen = writes.more();
    assert!(seen.iter().all(|write| write.name != "a" || write.verb == "patch"), "{seen:?}");
    assert_eq!([state(&test, "configmaps", "a").await, state(&test, "deployments", "web").await], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_warn_lets_edits_through_and_tells_of_them() {
    // Each on objects of its own: who changes one again and again is fighting.
    let each = stream::iter(0..).map(|number| async move {
        let test = Test::shared("warn").await;
        protect(&test, "Warn", "Resync").await;
        let (what, (_, name), output) = edit(&test, number).await?;
        let observed = printed(&output);
        let kind = if name == "a" { "configmaps" } else { "deployments.apps" };
        let subject = format!("Warning: {kind} {name:?} is managed by ManagedResource {}/mr: ", test.ns);
        for part in [subject.as_str(), "will be ", " at the next sync"] {
            assert!(output.status.success() && output.stderr.contains(part), "{what}: no {part:?} in: {observed}");
        }
        Some(())
    });
    let count = each.buffered(3).take_while(|done| std::future::ready(done.is_some())).count().await;
    assert_eq!(count, 10);

    let test = Test::shared("warn").await;
    protect(&test, "Warn", "Resync").await;
    let scaled = test.alice.does("scale deployment web --replicas=7").await;
    assert!(
        scaled.contains("spec.replicas is declared in Secret") && scaled.contains("will be reset at the next sync"),
        "{scaled}"
    );
    assert_eq!(test.get("deployments", "web").await.unwrap()["spec"]["replicas"], 7);
    test.resync("mr").await;
    test.has("deployments", "web", "/spec/replicas", 2).await;

    // At once, where nothing else is said.
    test.mr("mr", &["mr"], json!({"protection": {"mode": "Warn"}})).await;
    test.applied("mr").await;
    test.eventually("the webhook to know", || async {
        let output = test.alice.with(&PATCH).await;
        if output.stderr.contains("data.k is declared in") && output.stderr.contains("will be reset at once") {
            return Ok(());
        }
        Err(printed(&output))
    })
    .await;
    test.has("configmaps", "a", "/data/k", "one").await;
    for words in deletions() {
        let output = test.alice.does(words).await;
        assert!(output.contains("and will be created again at once"), "{words}: {output}");
    }
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_has_what_was_decided_in_every_mode() {
    let test = Test::shared("audited").await;
    for (mode, webhook, decision) in
        [("Deny", "protect", "deny"), ("Revert", "revert", "revert"), ("Warn", "protect", "warn")]
    {
        protect(&test, mode, "Watch").await;
        let expected = match mode {
            "Deny" => "would be reset",
            "Revert" => "put back",
            _ => "will be reset at once",
        };
        let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
        printed_by(&test, expected).await;
        let requests = log.read_of("alice").unwrap();
        let last = requests.iter().rfind(|request| request.namespace == test.ns && request.name == "a").unwrap();
        for (key, value) in [
            ("managed-resource", format!("{}/mr", test.ns)),
            ("mode", mode.to_lowercase()),
            ("decision", decision.to_owned()),
            ("paths", "data.k".to_owned()),
        ] {
            let name = format!("{webhook}.resources.gardener.cloud/{key}");
            assert_eq!(last.annotations.get(&name), Some(&value), "{mode} {key}: {:?}", last.annotations);
        }
        assert_eq!(last.code, if mode == "Deny" { 403 } else { 200 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_off_lets_every_edit_through_in_silence() {
    let each = stream::iter(0..).map(|number| async move {
        let test = Test::shared("silent").await;
        protect(&test, "Off", "Resync").await;
        let (what, (resource, name), output) = edit(&test, number).await?;
        let observed = printed(&output);
        assert!(output.status.success() && !observed.contains("managed by ManagedResource"), "{what}: {observed}");
        test.resync("mr").await;
        let value = if resource == "configmaps" { "/data/k" } else { "/spec/template/spec/containers/0/image" };
        test.has(resource, name, value, if resource == "configmaps" { "one" } else { "nginx" }).await;
        Some(())
    });
    let count = each.buffered(3).take_while(|done| std::future::ready(done.is_some())).count().await;
    assert_eq!(count, 10);
    let test = Test::shared("silent").await;
    protect(&test, "Off", "Resync").await;
    let scaled = test.alice.does("scale deployment web --replicas=7").await;
    assert!(!scaled.contains("Warning"), "{scaled}");
    test.resync("mr").await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
}

/// Whether an edit of a declared field passes (and with which words), by what the warning or the refusal says.
async fn printed_by(test: &Test, expected: &str) {
    test.eventually(&format!("an edit to be told: {expected}"), || async {
        let output = test.alice.with(&PATCH).await;
        let is_it = match expected {
            "" => output.status.success() && !output.stderr.contains("Warning"),
            refusal @ "would be reset" => !output.status.success() && output.stderr.contains(refusal),
            warning => output.status.success() && output.stderr.contains(warning),
        };
        if is_it { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    test.has("configmaps", "a", "/data/k", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_change_without_a_restart() {
    let test = Test::shared("modes").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    let steps = [
        ("Revert", "put back"),
        ("Warn", "will be reset at once"),
        ("Off", ""),
        ("Revert", "put back"),
        ("Deny", "would be reset"),
        ("Warn", "will be reset at once"),
    ];
    for (mode, expected) in steps {
        test.mr("mr", &["mr"], json!({"protection": {"mode": mode}})).await;
        for name in ["a", "b"] {
            test.has("configmaps", name, PROTECTION, mode.to_lowercase()).await;
        }
        printed_by(&test, expected).await;
    }
    // The annotation wins over the spec.
    for (mode, expected) in [("revert", "put back"), ("DENY", "would be reset"), ("off", "")] {
        test.alice.does(&format!("annotate managedresource mr {ANNOTATION}={mode} --overwrite")).await;
        test.has("configmaps", "a", PROTECTION, mode.to_lowercase()).await;
        printed_by(&test, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_mode_counts_as_the_default_and_is_named() {
    let test = Test::shared("modes").await;
    protect(&test, "Off", "Watch").await;
    let observed = test.alice.does(&format!("annotate managedresource mr {ANNOTATION}=revrt")).await;
    let note = format!("annotation {ANNOTATION} is none of deny, revert, warn, off (the default mode counts)");
    assert!(observed.contains(&format!("Warning: {note}")), "{observed}");
    test.message("mr", "ApplySucceeded", &[&note]).await;
    test.eventually("an Event", || async {
        let notes = test.events("BadSetting").await;
        if notes.iter().any(|text| text.contains(&note)) { Ok(()) } else { Err(format!("{notes:?}")) }
    })
    .await;
    test.has("configmaps", "a", PROTECTION, "deny").await;
    printed_by(&test, "would be reset").await;
    let wrong = test.try_mr("mr", &["mr"], json!({"protection": {"mode": "Revrt"}})).await.unwrap_err().to_string();
    assert!(wrong.contains("spec.protection.mode"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_whom_to_ask() {
    let test = Test::shared("contact").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    test.alice.does("annotate managedresource mr resources.gardener.cloud/owner-contact=team-a@example.com").await;
    let ask = "Change the Secret (ask team-a@example.com), or pause it until ";
    test.eventually("the contact in a refusal", || async {
        let refusal = test.alice.with(&PATCH).await.refusal().map_err(|error| error.to_string())?;
        if refusal.contains("(Forbidden)") && refusal.contains(ask) { Ok(()) } else { Err(refusal) }
    })
    .await;
    // As clients of other kinds see it.
    let path = format!("{}?fieldManager=argocd-controller", test.path("configmaps", "a"));
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "x"}});
    let refused = test.call("PATCH", &format!("{path}&force=true"), Some(&body)).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"), "{status:?}");
    assert!(status.message.contains(ask) && status.message.len() < 1024, "{}", status.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_goes_before_the_mode() {
    let test = Test::shared("paused").await;
    protect(&test, "Revert", "Watch").await;
    printed_by(&test, "put back; nothing was changed").await;
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let pauses = json!([{"kind": "ConfigMap", "until": until.to_string(), "reason": "an incident"}]);
    let set = |pauses: Value| json!({"spec": {"protection": {"pauses": pauses}}}).to_string();
    let pause = ["patch", "managedresource", "mr", "--type=merge", "-p"];
    let output = test.alice.with(&[&pause[..], &[&set(pauses)]].concat()).await;
    assert!(output.status.success(), "{}", printed(&output));
    test.has("configmaps", "a", PROTECTION, "off").await;
    test.eventually("an edit to pass", || async {
        let output = test.alice.with(&PATCH).await;
        if output.stderr.contains(" and is paused until ") { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    test.has("configmaps", "a", "/data/k", "x").await;
    let output = test.alice.with(&[&pause[..], &[&set(Value::Null)]].concat()).await;
    assert!(output.status.success(), "{}", printed(&output));
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("configmaps", "a", PROTECTION, "revert").await;
    printed_by(&test, "put back; nothing was changed").await;
}
