//! Secrets that kube-controller-manager fills with the token of a ServiceAccount.
use std::time::Duration;

use holdfast_e2e::audit::AuditLog;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, Replica, Test, nothing_happens_for};

/// Longer than a repair takes that is made at once.
const WATCHED: Duration = Duration::from_secs(3);
const FILLED: [&str; 3] = ["token", "ca.crt", "namespace"];
const CONTROL_PLANE: &str = "kube-controller-manager";

/// A ServiceAccount, and a Secret for a token of it with these keys of its own, base64.
fn declared(test: &Test, data: &Value) -> String {
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot", "namespace": test.ns}});
    let annotations = json!({"kubernetes.io/service-account.name": "bot"});
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "bot-token", "namespace": test.ns, "annotations": annotations}, "data": data,
    });
    if data.is_null() {
        secret.as_object_mut().unwrap().remove("data");
    }
    format!("{account}\n---\n{secret}\n---\n")
}

/// The Secret when all is filled in.
async fn filled(test: &Test) -> Value {
    test.eventually("the token to be filled in", || async {
        let secret = test.try_get("secrets", "bot-token").await?.ok_or("there is no Secret")?;
        let is_there = |key: &&str| secret["data"][key].as_str().is_some_and(|value| !value.is_empty());
        let uid = &secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"];
        if FILLED.iter().all(is_there) && uid.is_string() { Ok(secret) } else { Err(secret["metadata"].to_string()) }
    })
    .await
}

/// Nobody has put anything right.
async fn is_nobodys_repair(test: &Test) {
    let repaired = test.events("Repaired").await;
    let about = repaired.iter().filter(|note| note.contains("bot-token") && note.contains(CONTROL_PLANE)).count();
    assert_eq!(about, 0, "{repaired:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_token_is_filled_in_by_the_control_plane_and_edits_are_refused() {
    let test = Test::shared("token").await;
    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    let mut writes = 0;
    for data in [Value::Null, json!({})] {
        test.declare("mr", &declared(&test, &data)).await;
        // A Secret that comes before its ServiceAccount is deleted by the control plane, and comes again.
        tokio::time::sleep(WATCHED).await;
        let secret = filled(&test).await;
        for (key, field) in [("other", "data.other"), ("token", "data.token"), ("ca.crt", "data[ca.crt]")] {
            // Whoever claims to be the control plane is somebody else.
            for manager in ["kubectl-patch", CONTROL_PLANE] {
                let patch =
                    format!(r#"patch secret bot-token --field-manager={manager} -p {{"data":{{"{key}":"eA=="}}}}"#);
                let refusal = test.alice.run(&patch).await.refusal().expect("it is refused");
                assert!(refusal.contains(field), "{refusal}");
            }
        }
        test.resync("mr").await;
        nothing_happens_for(WATCHED, "nobody writes to the Secret").await;
        assert_eq!(test.get("secrets", "bot-token").await.unwrap(), secret, "nobody has written to it: {data}");
        is_nobodys_repair(&test).await;
        // Under its own name, and not as an administrator.
        let all = log.read_of(&format!("system:{CONTROL_PLANE}")).unwrap();
        let own = all.iter().filter(|request| request.namespace == test.ns && request.name == "bot-token");
        writes += own.filter(|request| request.verb == "update").count();
        test.delete("managedresources", "mr").await;
        test.gone("secrets", "bot-token").await;
        test.gone("managedresources", "mr").await;
    }
    assert!(writes >= 2, "{writes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_outlives_repairs_resyncs_and_restarts() {
    let test = Test::on(Cluster::shared_bare().await, "token").await;
    let account = Account::create(&test, "controller").await;
    let replica = Replica::direct(&test.cluster, &test.ns, &account.token, &test.ns).in_namespace(&test.ns);
    replica.start();
    let mine = json!({"mine": "bWluZQ=="});
    test.declare("mr", &declared(&test, &mine)).class(&test.ns).await;
    let token = filled(&test).await["data"]["token"].clone();
    let patch = |key: &str| json!({"data": {(key): "eA=="}});
    let is_whole = async |when: &str| {
        let data = filled(&test).await["data"].clone();
        assert_eq!((&data["token"], &data["mine"], &data["other"]), (&token, &mine["mine"], &Value::Null), "{when}");
    };

    // What others add goes, by whatever name, and what is declared comes back.
    for manager in ["kubectl-edit", CONTROL_PLANE] {
        for (key, expected) in [("other", Value::Null), ("mine", mine["mine"].clone())] {
            test.merge("secrets", "bot-token", manager, &patch(key)).await;
            test.has("secrets", "bot-token", &format!("/data/{key}"), expected).await;
        }
        is_whole(manager).await;
    }
    test.resync("mr").await;
    is_whole("a resync").await;
    for is_changed in [false, true] {
        // What was observed is written down by now.
        tokio::time::sleep(WATCHED).await;
        replica.signal(Signal::KILL);
        replica.ended().await;
        if is_changed {
            test.merge("secrets", "bot-token", "kubectl-edit", &patch("other")).await;
        }
        replica.start();
        test.has("secrets", "bot-token", "/data/other", Value::Null).await;
        nothing_happens_for(WATCHED, "a restart changes the Secret").await;
        is_whole("a restart").await;
    }
    test.redeclare("mr", &declared(&test, &json!({"mine": "bWluZQ==", "more": "eA=="}))).await;
    is_whole("another manifest").await;
    is_nobodys_repair(&test).await;
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifest_declares_of_a_token_stays_ours_and_other_secrets_are_no_tokens() {
    let test = Test::shared("token").await;
    let opaque = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "opaque", "namespace": test.ns}, "data": {"a": "YQ=="}});
    let manifests = format!("{}{opaque}\n---\n", declared(&test, &json!({"namespace": "bWluZQ=="})));
    test.declare("mr", &manifests).mode("Off").await;
    filled(&test).await;
    for key in FILLED {
        test.merge("secrets", "opaque", CONTROL_PLANE, &json!({"data": {(key): "eA=="}})).await;
        test.has("secrets", "opaque", "/data", json!({"a": "YQ=="})).await;
    }
    test.has("secrets", "bot-token", "/data/namespace", "bWluZQ==").await;
    test.merge("secrets", "bot-token", CONTROL_PLANE, &json!({"data": {"namespace": "eA=="}})).await;
    test.has("secrets", "bot-token", "/data/namespace", "bWluZQ==").await;
    filled(&test).await;
    // A token that somebody replaces in his own name goes, and the control plane makes a new one.
    test.merge("secrets", "bot-token", "kubectl-edit", &json!({"data": {"token": "eA=="}})).await;
    test.eventually("a token of the control plane", || async {
        let secret = test.try_get("secrets", "bot-token").await?.ok_or("there is no Secret")?;
        let token = secret["data"]["token"].as_str().unwrap_or_default();
        if token.len() > 100 { Ok(()) } else { Err(format!("{} bytes", token.len())) }
    })
    .await;
}
