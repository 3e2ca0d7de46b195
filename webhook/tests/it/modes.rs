//! The same review in each mode, and while we only watch.

use std::sync::Arc;

use base64::Engine as _;
use holdfast_core::api::Mode;
use holdfast_core::protect::Rules;
use holdfast_webhook::admission::reviewer::Reviewer;
use holdfast_webhook::metrics::Metrics;
use holdfast_webhook::server::app::App;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::fixtures::{Cluster, ask, deployment, index, post, review, rules, summary};

const DEPLOYMENT: (&str, &str, &str) = ("apps", "deployments", "Deployment");

fn app(rules: Rules, metrics: &Metrics) -> Arc<App> {
    let cluster = Arc::new(Cluster::HasNot);
    Arc::new(App::new(Reviewer::new(index(), rules, Arc::clone(&cluster) as _, cluster, metrics.clone())))
}

fn edit() -> Value {
    review("UPDATE", DEPLOYMENT, "admin", &deployment(2), &deployment(5))
}

#[tokio::test]
async fn each_mode_answers_in_its_way() {
    let metrics = Metrics::default();
    for (mode, audit_only, first, second) in [
        (Mode::Deny, false, "allow", "deny: deployments.apps"),
        (Mode::Revert, false, "warn: deployments.apps", "deny: deployments.apps"),
        (Mode::Warn, false, "allow", "warn: deployments.apps"),
        (Mode::Off, false, "allow", "allow"),
        (Mode::Deny, true, "allow", "warn: this would be refused"),
        (Mode::Revert, true, "allow", "warn: this would be refused"),
    ] {
        let app = app(Rules { default_mode: mode, audit_only, ..rules() }, &metrics);
        for (path, expected) in [("/revert", first), ("/protect", second)] {
            let answer = ask(&app, path, &edit()).await;
            assert!(summary(&answer).starts_with(expected), "{mode:?} {audit_only} {path}: {answer}");
        }
    }
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for (mode, decision) in [
        ("deny", "deny"),
        ("revert", "revert"),
        ("revert", "deny"),
        ("warn", "warn"),
        ("deny", "would-deny"),
        ("revert", "would-deny"),
    ] {
        let line = format!("holdfast_webhook_decisions_total{{mode=\"{mode}\",decision=\"{decision}\"}} 1\n");
        assert!(text.contains(&line), "{line} in {text}");
    }
}

#[tokio::test]
async fn what_is_put_back_is_a_patch_in_base64() {
    let app = app(Rules { default_mode: Mode::Revert, ..rules() }, &Metrics::default());
    let answer = ask(&app, "/revert", &edit()).await;
    assert_eq!((&answer["allowed"], &answer["patchType"]), (&json!(true), &json!("JSONPatch")));
    let patch = base64::engine::general_purpose::STANDARD.decode(answer["patch"].as_str().unwrap()).unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    assert_eq!(patch, json!([{"op": "add", "path": "/spec", "value": {"replicas": 2}}]));
    assert_eq!(answer["auditAnnotations"]["decision"], "revert");
}

#[tokio::test]
async fn what_cannot_be_judged_before_it_is_stored_is_left_to_who_comes_after() {
    let head = r#"{"request":{"uid":"0000-1","object":{"#;
    for (audit_only, path, expected) in [
        (false, "/revert", "allow"),
        (false, "/protect", "deny: Holdfast could not judge"),
        (true, "/protect", "warn: this would be refused, but Holdfast only watches so far: Holdfast could not judge"),
    ] {
        let app = app(Rules { default_mode: Mode::Revert, audit_only, ..rules() }, &Metrics::default());
        let (status, answer) = post(&app, path, head).await;
        let answer = summary(&answer["response"]);
        assert!(status == 200 && answer.starts_with(expected), "{path}: {answer}");
    }
}

#[tokio::test]
async fn pauses_are_not_refused_either_while_we_only_watch() {
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let mr = |spec: Value| json!({"metadata": {"namespace": "default", "name": "m"}, "spec": spec});
    let paused = json!({"secretRefs": [], "protection": {"pauses": [{"until": until.to_string(), "reason": "fire"}]}});
    let (old, new) = (mr(json!({"secretRefs": []})), mr(paused));
    let app = app(Rules { audit_only: true, ..rules() }, &Metrics::default());
    let would =
        "warn: this would be refused, but Holdfast only watches so far: user \"bob\" may not pause ManagedResource";
    for (user, expected) in [("bob", would), ("alice", "warn: all objects are paused until ")] {
        let group = "resources.gardener.cloud";
        let posted = review("UPDATE", (group, "managedresources", "ManagedResource"), user, &old, &new);
        let answer = summary(&ask(&app, "/managedresources", &posted).await);
        assert!(answer.starts_with(expected), "{user}: {answer}");
    }
}
