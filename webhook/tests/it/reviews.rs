//! Reviews through the service, without a socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_core::protect::{Rules, Verdict};
use holdfast_runtime::index::SharedIndex;
use holdfast_webhook::admission::reviewer::Reviewer;
use holdfast_webhook::metrics::Metrics;
use holdfast_webhook::server::app::App;
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::fixtures::{Cluster, OURS, app, ask, deployment, index, post, review, reviewer, rules, secret, summary};

const DEPLOYMENT: (&str, &str, &str) = ("apps", "deployments", "Deployment");
const SECRET: (&str, &str, &str) = ("", "secrets", "Secret");
const MR: (&str, &str, &str) = ("resources.gardener.cloud", "managedresources", "ManagedResource");
const GOOD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n";
const BAD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {password: hunter2}\n---\nkind: Secret\n---\n- hunter2\n";

#[tokio::test]
async fn edits_of_managed_objects_are_refused_unless_exempt() {
    let app = Arc::new(app(index(), Cluster::HasNot));
    let (old, new, none) = (deployment(2), deployment(5), Value::Null);
    for (case, review, expected) in [
        ("edit", review("UPDATE", DEPLOYMENT, "admin", &old, &new), "deny: deployments.apps \"nginx\" is managed by"),
        ("no change", review("UPDATE", DEPLOYMENT, "admin", &old, &old), "allow"),
        ("ours", review("UPDATE", DEPLOYMENT, OURS, &old, &new), "allow"),
        (
            "delete",
            review("DELETE", DEPLOYMENT, "admin", &old, &none),
            "deny: deployments.apps \"nginx\" is managed by",
        ),
    ] {
        let answer = summary(&ask(&app, "/protect", &review).await);
        assert!(answer.starts_with(expected), "{case}: {answer}");
    }
    let answer = ask(&app, "/protect", &review("UPDATE", DEPLOYMENT, "admin", &old, &new)).await;
    assert_eq!(answer["auditAnnotations"]["managed-resource"], "default/example");
    assert!(summary(&answer).contains("kubectl patch mr -n default example --type=merge"), "{answer}");
}

#[tokio::test]
async fn while_nothing_is_known_the_failure_policy_decides() {
    let edit = review("UPDATE", DEPLOYMENT, "admin", &deployment(2), &deployment(5));
    for (fail_closed, expected) in [(false, "warn: "), (true, "deny: ")] {
        let rules = Rules { fail_closed, ..rules() };
        let cluster = Arc::new(Cluster::HasNot);
        let app = App::new(Reviewer::new(
            SharedIndex::default(),
            rules,
            Arc::clone(&cluster) as _,
            cluster,
            Metrics::default(),
        ));
        let answer = summary(&ask(&Arc::new(app), "/protect", &edit).await);
        assert!(answer.starts_with(expected), "{answer}");
    }
}

#[tokio::test]
async fn what_cannot_be_judged_is_answered_all_the_same() {
    let panics = Arc::new(App::new(reviewer(index(), Cluster::Panics).with_rule(|_, _, _| panic!("ouch"))));
    let hangs = Arc::new(App::new(reviewer(index(), Cluster::Hangs).with_rule(|_, _, _| {
        std::thread::sleep(Duration::from_secs(30));
        Verdict::Allow { warnings: vec![], audit: std::collections::BTreeMap::new() }
    })));
    let edit = review("UPDATE", DEPLOYMENT, "admin", &deployment(2), &deployment(5));
    let scale = review("UPDATE", ("apps", "deployments/scale", "Scale"), "admin", &deployment(2), &deployment(5));
    let mr = review(
        "CREATE",
        MR,
        "admin",
        &Value::Null,
        &json!({"metadata": {"name": "m"}, "spec": {"secretRefs": [{"name": "s"}]}}),
    );
    for (path, review, expected) in [
        ("/protect", &edit, "deny: Holdfast could not judge this request: an internal error"),
        ("/protect", &scale, "warn: Holdfast could not judge this request: an internal error; it was allowed"),
        ("/managedresources", &mr, "warn: Holdfast could not judge this request: an internal error; it was allowed"),
    ] {
        assert_eq!(summary(&ask(&panics, path, review).await), expected);
    }
    let start = Instant::now();
    let late = ask(&hangs, "/managedresources", &mr).await;
    assert_eq!(summary(&late), "warn: Holdfast could not judge this request: no decision came in time; it was allowed");
    assert!((1900..2500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

/// A decision about something large that takes for ever holds up neither its own answer nor others.
#[test]
fn a_decision_that_hangs_is_answered_in_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut large = deployment(5);
    large["metadata"]["annotations"]["example.com/note"] = json!("x".repeat(70_000));
    let edit = review("UPDATE", DEPLOYMENT, "admin", &deployment(2), &large);
    let small = review("UPDATE", DEPLOYMENT, "admin", &deployment(2), &deployment(2));
    let (answer, other) = runtime.block_on(async {
        let hangs = Arc::new(App::new(reviewer(index(), Cluster::HasNot).with_rule(|request, _, _| {
            if request.object.is_some_and(|object| object.to_string().len() > 70_000) {
                std::thread::sleep(Duration::from_secs(20));
            }
            Verdict::Allow { warnings: vec![], audit: std::collections::BTreeMap::new() }
        })));
        let other = async {
            let begun = Instant::now();
            (summary(&ask(&hangs, "/protect", &small).await), begun.elapsed())
        };
        tokio::join!(ask(&hangs, "/protect", &edit), other)
    });
    runtime.shutdown_background();
    assert_eq!(summary(&answer), "deny: Holdfast could not judge this request: no decision came in time");
    assert!(other.0.starts_with("allow") && other.1 < Duration::from_secs(1), "{other:?}");
}

/// What is small is judged where all others wait for it, so the worst of it has to be quick, too.
#[tokio::test]
async fn the_costliest_of_the_small_reviews_take_no_time() {
    let app = Arc::new(app(index(), Cluster::HasNot));
    let many = |names: &str, value: &Value| -> Value {
        (0..1700).map(|number| (format!("{names}{number:04}"), value.clone())).collect::<serde_json::Map<_, _>>().into()
    };
    let tampered = |names: &str| {
        let mut object = deployment(2);
        object["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"] = many(names, &json!({}));
        object
    };
    let changed = |names: &str| {
        let mut object = deployment(2);
        object["spec"] = many(names, &json!(1));
        object
    };
    for [old, new] in [["f:a", "f:b"].map(tampered), ["a", "b"].map(changed)] {
        let edit = review("UPDATE", DEPLOYMENT, "admin", &old, &new);
        assert!((30_000..64 << 10).contains(&edit.to_string().len()), "{}", edit.to_string().len());
        for path in ["/protect", "/revert"] {
            let begun = Instant::now();
            let answer = summary(&ask(&app, path, &edit).await);
            assert!(path == "/revert" || answer.starts_with("deny"), "{answer}");
            assert!(begun.elapsed() < Duration::from_millis(500), "{path}: {:?}", begun.elapsed());
        }
    }
}

#[tokio::test]
async fn oversized_and_broken_reviews() {
    let app = Arc::new(app(index(), Cluster::HasNot));
    let edit = review("UPDATE", DEPLOYMENT, "admin", &deployment(2), &deployment(5)).to_string();
    // As the API server writes it: request first, objects last.
    let head = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"0000-1","object":{"#;
    let large = format!("{head}{}", " ".repeat(33 << 20));
    let torn = format!("{head}\"a\":");
    for (path, body, status, expected) in [
        (
            "/protect",
            large.clone(),
            200,
            "deny: Holdfast could not judge this request: the review is larger than 32 MiB",
        ),
        (
            "/secrets",
            large,
            200,
            "warn: Holdfast could not judge this request: the review is larger than 32 MiB; it was allowed",
        ),
        (
            "/protect",
            torn,
            200,
            "deny: Holdfast could not judge this request: the body is not an AdmissionReview (line 1, column 101)",
        ),
        ("/protect", "{}".to_owned(), 400, "the AdmissionReview has no request\n"),
        ("/protect", "nonsense".to_owned(), 400, "the body is not an AdmissionReview (line 1, column 2)\n"),
        ("/elsewhere", edit, 404, "there are /revert, /protect, /secrets, /managedresources and /namespaces\n"),
    ] {
        let (found, answer) = post(&app, path, body).await;
        let text = answer.as_str().map_or_else(|| summary(&answer["response"]), ToOwned::to_owned);
        assert_eq!((found, text.as_str()), (status, expected));
    }
    let get = http::Request::get("/protect").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(app.answer(get).await.status(), 405);
}

#[tokio::test]
async fn malformed_secrets_are_refused_where_they_matter() {
    let app = Arc::new(app(index(), Cluster::HasNot));
    let (plain, label, none) = (json!({}), json!({"resources.gardener.cloud/manifests": "true"}), Value::Null);
    let bad = |name: &str, labels: &Value| secret(name, labels, BAD);
    let referenced = "deny: Secret default/one is referenced by ManagedResource default/example and its manifests cannot be read:\n- key \"objects.yaml\", document 2";
    let labelled = "deny: Secret default/x carries the label resources.gardener.cloud/manifests=true and its manifests cannot be read:\n- key";
    for (case, operation, old, new, expected) in [
        ("referenced", "CREATE", none.clone(), bad("one", &plain), referenced),
        ("labelled", "CREATE", none.clone(), bad("x", &label), labelled),
        ("neither", "CREATE", none.clone(), bad("x", &plain), "allow"),
        ("good", "CREATE", none.clone(), secret("one", &plain, GOOD), "allow"),
        ("becomes bad", "UPDATE", secret("one", &plain, GOOD), bad("one", &plain), referenced),
        ("metadata only", "UPDATE", bad("one", &json!({"a": "b"})), bad("one", &plain), "allow"),
        ("label on", "UPDATE", bad("x", &plain), bad("x", &label), labelled),
        ("label off", "UPDATE", bad("x", &label), bad("x", &plain), "allow"),
        (
            "twice",
            "CREATE",
            none.clone(),
            secret("one", &plain, &format!("{GOOD}---\n{GOOD}")),
            "warn: Secret default/one: declared more than once",
        ),
        (
            "deleted",
            "DELETE",
            bad("one", &plain),
            none.clone(),
            "warn: Secret default/one is referenced by ManagedResource default/example; the objects stay",
        ),
        ("other deleted", "DELETE", bad("x", &label), none, "allow"),
    ] {
        let answer = summary(&ask(&app, "/secrets", &review(operation, SECRET, "admin", &old, &new)).await);
        assert!(answer.starts_with(expected), "{case}: {answer}");
        assert!(!answer.contains("hunter2"), "{case}: {answer}");
        if answer.starts_with("deny") {
            assert_eq!(answer.matches("\n- key \"objects.yaml\", document ").count(), 2, "every error: {answer}");
        }
    }
}

#[tokio::test]
async fn our_own_users_get_no_special_treatment_for_content() {
    let app = Arc::new(app(index(), Cluster::HasNot));
    let bad = secret("one", &json!({}), BAD);
    let create = review("CREATE", SECRET, OURS, &Value::Null, &bad);
    assert!(summary(&ask(&app, "/secrets", &create).await).starts_with("deny: "));
    let delete = review("DELETE", SECRET, OURS, &bad, &Value::Null);
    assert_eq!(summary(&ask(&app, "/secrets", &delete).await), "allow");
}

#[tokio::test]
async fn managed_resources_are_checked_with_their_secrets() {
    let mr = |spec: Value, metadata: Value| {
        let mut mr = json!({"metadata": {"namespace": "default", "name": "m"}, "spec": spec});
        mr["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        mr
    };
    let refs = json!({"secretRefs": [{"name": "s"}]});
    let simple = || mr(refs.clone(), json!({}));
    let mistaken = || mr(refs.clone(), json!({"annotations": {"resources.gardener.cloud/protection": "sometimes"}}));
    let deleting = || mr(json!({"secretRefs": []}), json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}));
    let none = Value::Null;
    let refused = "deny: Secret default/s is referenced by ManagedResource default/m and its manifests cannot be read:\n- key \"objects.yaml\", document 2";
    for (case, cluster, operation, old, new, expected) in [
        ("good", Cluster::Has(GOOD), "CREATE", none.clone(), simple(), "allow"),
        ("bad", Cluster::Has(BAD), "CREATE", none.clone(), simple(), refused),
        ("missing", Cluster::HasNot, "CREATE", none.clone(), simple(), "warn: Secret default/s does not exist yet"),
        (
            "unread",
            Cluster::Fails("timed out"),
            "CREATE",
            none.clone(),
            simple(),
            "warn: Secret default/s was not checked: timed out",
        ),
        ("spec changed", Cluster::Has(BAD), "UPDATE", mr(json!({"secretRefs": []}), json!({})), simple(), refused),
        (
            "metadata only",
            Cluster::Has(BAD),
            "UPDATE",
            simple(),
            mr(refs.clone(), json!({"annotations": {"a": "b"}})),
            "allow",
        ),
        ("being deleted", Cluster::Has(BAD), "UPDATE", simple(), deleting(), "allow"),
        (
            "without effect",
            Cluster::Has(GOOD),
            "CREATE",
            none.clone(),
            mistaken(),
            "warn: annotation resources.gardener.cloud/protection is none of deny, revert, warn, off",
        ),
        ("still without effect", Cluster::Panics, "UPDATE", mistaken(), mistaken(), "allow"),
    ] {
        let app = Arc::new(app(SharedIndex::default(), cluster));
        let answer = summary(&ask(&app, "/managedresources", &review(operation, MR, "admin", &old, &new)).await);
        assert!(answer.starts_with(expected), "{case}: {answer}");
        assert!(!answer.contains("hunter2"), "{case}: {answer}");
    }
}

/// How a user is refused who may not pause.
const REFUSED: &str = "deny: user \"bob\" may not pause ManagedResource default/m: that needs the verb \"override\"";

fn paused(pauses: &Value) -> Value {
    json!({"metadata": {"namespace": "default", "name": "m"},
        "spec": {"secretRefs": [{"name": "s"}], "protection": {"pauses": pauses}}})
}

fn in_hours(hours: i64) -> Value {
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    json!([{"kind": "ConfigMap", "name": "a", "until": until.to_string(), "reason": "fire"}])
}

#[tokio::test]
async fn pauses_need_a_verb_and_end_in_time() {
    let none = json!([]);
    for (case, cluster, user, old, new, expected) in [
        ("alice", Cluster::Has(BAD), "alice", &none, in_hours(1), "warn: ConfigMap */a is paused until "),
        ("bob", Cluster::Has(GOOD), "bob", &none, in_hours(1), REFUSED),
        ("our controller", Cluster::Has(GOOD), OURS, &none, in_hours(1), "deny: user \"system:serviceaccount:"),
        ("bob ends", Cluster::Has(BAD), "bob", &in_hours(1), none.clone(), "allow"),
        ("bob shortens", Cluster::Has(BAD), "bob", &in_hours(2), in_hours(1), "allow"),
        ("bob prolongs", Cluster::Has(BAD), "bob", &in_hours(1), in_hours(2), REFUSED),
        ("too long", Cluster::Has(GOOD), "alice", &none, in_hours(25), "deny: the pause of ConfigMap */a until "),
        ("over", Cluster::Has(GOOD), "bob", &none, in_hours(-1), "warn: spec.protection.pauses[0] is over since "),
        (
            "unreadable",
            Cluster::Has(GOOD),
            "alice",
            &none,
            json!([{"until": "x"}]),
            "deny: spec.protection.pauses[0].until: ",
        ),
        ("unchecked", Cluster::Fails("timed out"), "bob", &none, in_hours(1), "warn: ConfigMap */a is paused until "),
    ] {
        let app = Arc::new(app(SharedIndex::default(), cluster));
        let response = ask(&app, "/managedresources", &review("UPDATE", MR, user, &paused(old), &paused(&new))).await;
        let answer = summary(&response);
        assert!(answer.starts_with(expected), "{case}: {answer}");
        let decision = response["auditAnnotations"]["pause-decision"].as_str();
        let expected = match case {
            "alice" => Some("granted"),
            "unchecked" => Some("unchecked"),
            _ if answer.starts_with("deny") => Some("refused"),
            _ => None,
        };
        assert_eq!(decision, expected, "{case}");
        let end = response["auditAnnotations"]["pause-end"].as_str();
        let ends = ["bob ends", "bob shortens"].contains(&case);
        assert_eq!(
            end.map(|text| text.starts_with("no longer: ConfigMap */a is paused until ")),
            ends.then_some(true),
            "{case}"
        );
        assert!(case != "unchecked" || answer.contains("was not checked: timed out; it was let through"), "{answer}");
        assert!(case != "too long" || answer.contains("may last 24h at most"), "{answer}");
    }
}

#[tokio::test]
async fn a_new_managed_resource_and_the_annotation_need_the_verb_too() {
    let created = review("CREATE", MR, "bob", &Value::Null, &paused(&in_hours(1)));
    let app = Arc::new(app(SharedIndex::default(), Cluster::Has(GOOD)));
    assert!(summary(&ask(&app, "/managedresources", &created).await).starts_with(REFUSED));
    let annotated = |value: Value| {
        let mut mr = paused(&json!([]));
        if !value.is_null() {
            mr["metadata"]["annotations"] = json!({"resources.gardener.cloud/ignore": value});
        }
        mr
    };
    for (user, old, new, expected) in [
        ("bob", Value::Null, json!("true"), REFUSED),
        ("bob", json!("true"), Value::Null, "allow"),
        ("alice", Value::Null, json!("1"), "warn: annotation resources.gardener.cloud/ignore has no end: "),
    ] {
        let review = review("UPDATE", MR, user, &annotated(old), &annotated(new));
        let answer = summary(&ask(&app, "/managedresources", &review).await);
        assert!(answer.starts_with(expected), "{user}: {answer}");
    }
}
