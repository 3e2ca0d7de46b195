//! Replicas whose clock is wrong: the API server's counts.
use serde_json::{Value, json};

use super::decoded;
use crate::harness::{Account, Cluster, Replica, Test, WEBHOOK, clock_library, nothing_happens_for, write_kubeconfig};

/// A configuration of either kind that calls nobody.
fn idle(kind: &str, name: &str) -> Value {
    let rule = json!({"apiGroups": ["none.example.com"], "apiVersions": ["v1"], "resources": ["nothing"],
        "operations": ["CREATE"]});
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": [{
        "name": "idle.example.com", "rules": [rule], "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://127.0.0.1:1/"}, "failurePolicy": "Ignore",
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_a_wrong_clock_replaces_nothing() {
    let test = Test::on(Cluster::shared_bare().await, "wrong-clock").await;
    let account = Account::create(&test, "webhook").await;
    let group = "/apis/admissionregistration.k8s.io/v1";
    for (kind, plural) in [
        ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ] {
        test.call("POST", &format!("{group}/{plural}"), Some(&idle(kind, &test.ns))).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let library = clock_library(directory.path());
    let kubeconfig = write_kubeconfig(&test.cluster, &test.ns, &json!({"token": account.token})).display().to_string();
    let replica = |name: &str| {
        // An hour of a shorter life counts as clocks that differ.
        let flags = [
            format!("--kubeconfig={kubeconfig}"),
            format!("--validating-configuration={}", test.ns),
            format!("--mutating-configuration={}", test.ns),
            "--certificate-lifetime=10m".to_owned(),
            "--ca-lifetime=30m".to_owned(),
            "--bind-address=127.0.0.1:0".to_owned(),
            "--probes-address=127.0.0.1:0".to_owned(),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let clock = directory.path().join(name);
        Replica::only(&test.cluster, WEBHOOK, &format!("{}-{name}", test.ns), &flags)
            .in_namespace(&test.ns)
            .clocked(&library, &clock)
    };
    let clock = |name: &str, minutes: i64| {
        std::fs::write(directory.path().join(name), (minutes * 60).to_string()).unwrap();
    };
    let right = replica("right");
    right.start();
    right.says(&["serving with a new certificate"]).await;
    right.says(&["our CA is registered in ValidatingWebhookConfiguration"]).await;
    right.says(&["our CA is registered in MutatingWebhookConfiguration"]).await;
    let made = test.get("secrets", super::SECRET).await.unwrap();

    // Minutes. By the first clock the certificates are over, by the second they have not begun.
    for (name, minutes) in [("ahead", 120), ("behind", -30)] {
        clock(name, minutes);
        let wrong = replica(name);
        wrong.start();
        wrong.says(&["serving with a new certificate"]).await;
        // Somebody has to look again; the other one looks each 30 s.
        test.merge("secrets", super::SECRET, "e2e", &json!({"metadata": {"annotations": {"touched": name}}})).await;
        nothing_happens_for(std::time::Duration::from_secs(2), "it replaces the certificates").await;
        let log = wrong.logged();
        assert!(wrong.is_running() && !log.contains("renewing") && !log.contains("replacing"), "{name}: {log}");
        wrong.kill().await;
    }
    // A clock that jumps while it runs.
    for minutes in [120, -30, 0] {
        clock("right", minutes);
        test.merge(
            "secrets",
            super::SECRET,
            "e2e",
            &json!({"metadata": {"annotations": {"jumped": minutes.to_string()}}}),
        )
        .await;
        nothing_happens_for(std::time::Duration::from_secs(2), "it replaces the certificates").await;
    }
    let now = test.get("secrets", super::SECRET).await.unwrap();
    assert_eq!(now["data"], made["data"], "the same certificates");

    // With a wrong clock it makes what is right: for the time of the API server.
    right.kill().await;
    test.delete("secrets", super::SECRET).await;
    clock("alone", 120);
    let alone = replica("alone");
    alone.start();
    alone.says(&["serving with a new certificate"]).await;
    let made = test.get("secrets", super::SECRET).await.unwrap();
    alone.kill().await;
    right.start();
    let printed = || right.logged().matches("serving with a new certificate").count();
    test.eventually("the other one to serve with it", || async {
        if printed() == 2 { Ok(()) } else { Err(right.logged()) }
    })
    .await;
    let now = test.get("secrets", super::SECRET).await.unwrap();
    assert_eq!(decoded(&now, "tls.crt"), decoded(&made, "tls.crt"), "to both it is valid");
    assert!(!right.logged().contains("replacing"), "{}", right.logged());
}
