//! Many objects, many ManagedResources, and single ones that fail all the time.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use holdfast_e2e::audit::Request;
use serde_json::{Value, json};

use crate::harness::{Manifest as _, Test, nothing_happens_for, printed, text, within};

const MANY: Duration = Duration::from_secs(120);
const WATCHED: Duration = Duration::from_secs(10);

fn config_maps(test: &Test, prefix: &str, count: usize, value: &str) -> String {
    (0..count).fold(String::new(), |mut all, number| {
        let _ = write!(all, "{}", test.config_map(&format!("{prefix}-{number}"), value));
        all
    })
}

/// How many ConfigMaps whose name begins so have this value.
async fn count(test: &Test, prefix: &str, value: &str) -> usize {
    let is_one =
        |object: &&Value| text(object, "/metadata/name").starts_with(prefix) && text(object, "/data/k") == value;
    test.list("configmaps").await.iter().filter(is_one).count()
}

async fn all(test: &Test, prefix: &str, value: &str, expected: usize) {
    within(MANY, &format!("{expected} objects {prefix} with {value}"), || async {
        let found = count(test, prefix, value).await;
        if found == expected { Ok(()) } else { Err(format!("there are {found}")) }
    })
    .await;
}

/// Resource versions of all ConfigMaps.
async fn versions(test: &Test) -> BTreeMap<String, String> {
    let all = test.list("configmaps").await;
    all.iter().map(|object| (text(object, "/metadata/name"), text(object, "/metadata/resourceVersion"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_objects_and_two_hundred_managed_resources() {
    let test = Test::own("many").await;
    let begin = Instant::now();
    test.declare("large", &config_maps(&test, "large", 1000, "one")).write().await;
    all(&test, "large", "one", 1000).await;
    test.applied("large").await;
    eprintln!("1,000 objects of one ManagedResource: {:.1} s", begin.elapsed().as_secs_f64());

    let begin = Instant::now();
    let create = |number: usize| {
        let test = &test;
        async move {
            let name = format!("mr-{number}");
            test.declare(&name, &config_maps(test, &format!("small-{number}"), 5, "one")).write().await;
        }
    };
    stream::iter(0..200).map(create).buffer_unordered(16).collect::<Vec<_>>().await;
    all(&test, "small", "one", 1000).await;
    within(MANY, "200 ManagedResources to be applied", || async {
        let all = test.list("managedresources").await;
        let applied = all.iter().filter(|mr| {
            let conditions = mr.pointer("/status/conditions").and_then(Value::as_array);
            conditions.into_iter().flatten().any(|condition| condition["reason"] == "ApplySucceeded")
        });
        let applied = applied.count();
        if applied == 201 { Ok(()) } else { Err(format!("{applied} of {} are", all.len())) }
    })
    .await;
    eprintln!("200 ManagedResources of 5 objects: {:.1} s", begin.elapsed().as_secs_f64());

    // One object of a thousand is one write. What is due to be applied again meanwhile moves no version.
    let before = versions(&test).await;
    let changed =
        config_maps(&test, "large", 1000, "one").replace("name: large-500\n", "name: large-500\n  labels: {a: b}\n");
    test.redeclare("large", &changed).await;
    let after = versions(&test).await;
    let written: Vec<_> = after.iter().filter(|(name, version)| before.get(*name) != Some(version)).collect();
    assert!(written.len() == 1 && written[0].0 == "large-500", "{written:?}");
    // Half of them go.
    test.redeclare("large", &config_maps(&test, "large", 500, "one")).await;
    all(&test, "large", "one", 500).await;
    let mr = test.get("managedresources", "large").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 500);
}

/// The other 199 are held as ever, and the failure is tried again ever less often, by itself: not with all the others.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_always_fails() {
    let test = Test::shared("fails").await;
    let bad = test.refused_config_map("bad-name", "one");
    test.declare("mr", &[config_maps(&test, "good", 199, "one"), bad.clone()].concat()).mode("Off").write().await;
    all(&test, "good", "one", 199).await;
    test.message("mr", "ApplyFailed", &["bad-name"]).await;

    let mut writes = test.writes();
    let before = versions(&test).await;
    for number in [3, 77, 198] {
        test.alice.does(&format!(r#"patch configmap good-{number} -p {{"data":{{"k":"x"}}}}"#)).await;
    }
    test.alice.does("delete configmap good-100 --wait=false").await;
    all(&test, "good", "one", 199).await;
    nothing_happens_for(WATCHED, "objects without drift are written").await;
    // Counted by their versions: a slice of what is due to be applied again may fall into this time, and moves none.
    let repaired = versions(&test).await;
    let moved: Vec<_> = repaired.iter().filter(|(name, version)| before.get(*name) != Some(version)).collect();
    assert_eq!(moved.len(), 4, "only what drifted is written again: {moved:?}");
    let attempts = |written: Vec<Request>| written.iter().filter(|request| request.name == "bad-name").count();
    let failures = attempts(writes.more());
    // One attempt for each of the four repairs, and some of its own.
    assert!((2..=14).contains(&failures), "{failures} attempts in {} s", WATCHED.as_secs());
    // The longer it fails, the rarer.
    nothing_happens_for(WATCHED, "it is tried as often as before").await;
    let failures = attempts(writes.more());
    assert!(failures <= 4, "{failures} attempts in the next {} s", WATCHED.as_secs());
    assert_eq!(versions(&test).await, repaired, "nothing else is written");

    // Prunes and updates go on, too.
    test.secret("mr", &[config_maps(&test, "good", 150, "two"), bad].concat()).await;
    all(&test, "good", "two", 150).await;
    test.gone("configmaps", "good-150").await;
    test.secret("mr", &config_maps(&test, "good", 150, "two")).await;
    test.applied("mr").await;
}

/// One whose finalizer never goes away holds up nobody, neither applies nor prunes.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_never_gone() {
    let test = Test::shared("stuck").await;
    let blocked = test.config_map("held", "one").with_metadata("finalizers: [example.com/hold]");
    test.declare("mr", &[blocked, config_maps(&test, "c", 50, "one")].concat()).mode("Off").await;
    test.secret("mr", &config_maps(&test, "c", 40, "two")).await;
    all(&test, "c", "two", 40).await;
    test.gone("configmaps", "c-49").await;
    test.message("mr", "DeletionPending", &["/held"]).await;

    let mut writes = test.writes();
    test.alice.does(r#"patch configmap c-7 -p {"data":{"k":"x"}}"#).await;
    test.has("configmaps", "c-7", "/data/k", "two").await;
    test.secret("mr", &config_maps(&test, "c", 30, "three")).await;
    all(&test, "c", "three", 30).await;
    test.gone("configmaps", "c-39").await;
    test.message("mr", "DeletionPending", &["/held"]).await;
    nothing_happens_for(WATCHED, "its deletion is asked for again").await;
    let to_blocked: Vec<_> = writes.more().into_iter().filter(|request| request.name == "held").collect();
    assert!(to_blocked.is_empty(), "it was asked to go once: {to_blocked:#?}");
    test.merge("configmaps", "held", "somebody", &json!({"metadata": {"finalizers": null}})).await;
    test.gone("configmaps", "held").await;
    test.applied("mr").await;
}

/// Somebody else's webhook, which is down, stands in the way of one object.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_somebody_elses_webhook_refuses() {
    let test = Test::shared("refused").await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "down"}, "spec": {"ports": [{"port": 443}]}});
    test.create("services", &service).await;
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": test.ns},
        "webhooks": [{
            "name": "policy.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 2,
            "clientConfig": {"service": {"name": "down", "namespace": test.ns}},
            "objectSelector": {"matchLabels": {"refuse": test.ns}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}],
        }],
    });
    test.admin.send("create", &webhook.to_string()).await.success().unwrap();
    let refused =
        |value: &str| test.config_map("refused", value).with_metadata(&format!("labels: {{refuse: {}}}", test.ns));
    // The API server learns of the webhook a moment later.
    test.eventually("the webhook to refuse", || async {
        let output = test.admin.send("create --dry-run=server", &refused("x")).await;
        if printed(&output).contains("policy.example.com") { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    test.declare("mr", &[test.config_map("a", "one"), refused("one"), test.config_map("z", "one")].concat())
        .write()
        .await;
    let words = "failed calling webhook \"policy.example.com\"";
    test.message("mr", "ApplyFailed", &["document 2", words]).await;
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("configmaps", "z", "/data/k", "one").await;
    test.secret("mr", &[test.config_map("a", "two"), refused("two")].concat()).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.gone("configmaps", "z").await;
    test.message("mr", "ApplyFailed", &[words]).await;
    assert!(test.get("configmaps", "refused").await.is_none());

    test.admin.does(&format!("delete validatingwebhookconfiguration {}", test.ns)).await;
    test.has("configmaps", "refused", "/data/k", "two").await;
    test.applied("mr").await;
}
