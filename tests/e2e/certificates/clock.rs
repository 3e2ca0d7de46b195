//! Replicas whose clock is wrong: the API server's counts.
use std::{path::PathBuf, time::Duration};

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

/// Replicas of one test, each with a clock of its own.
struct Clocks<'a> {
    test: &'a Test,
    directory: tempfile::TempDir,
    library: PathBuf,
    kubeconfig: String,
}

impl<'a> Clocks<'a> {
    async fn new(test: &'a Test) -> Self {
        let account = Account::create(test, "webhook").await;
        let group = "/apis/admissionregistration.k8s.io/v1";
        for (kind, plural) in [
            ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
            ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
        ] {
            test.call("POST", &format!("{group}/{plural}"), Some(&idle(kind, &test.ns))).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let library = clock_library(directory.path());
        let kubeconfig = write_kubeconfig(&test.cluster, &test.ns, &json!({"token": account.token}));
        Self { test, directory, library, kubeconfig: kubeconfig.display().to_string() }
    }

    fn replica(&self, name: &str) -> Replica {
        let test = self.test;
        // An hour of a shorter life counts as clocks that differ.
        let flags = [
            format!("--kubeconfig={}", self.kubeconfig),
            format!("--validating-configuration={}", test.ns),
            format!("--mutating-configuration={}", test.ns),
            "--certificate-lifetime=10m".to_owned(),
            "--ca-lifetime=30m".to_owned(),
            "--bind-address=127.0.0.1:0".to_owned(),
            "--probes-address=127.0.0.1:0".to_owned(),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Replica::only(&test.cluster, WEBHOOK, &format!("{}-{name}", test.ns), &flags)
            .in_namespace(&test.ns)
            .clocked(&self.library, &self.directory.path().join(name))
    }

    /// Sets the clock of a replica this far ahead.
    fn set(&self, name: &str, minutes: i64) {
        std::fs::write(self.directory.path().join(name), (minutes * 60).to_string()).unwrap();
    }

    /// Somebody has to look again; a replica does so each 30 s.
    async fn touch(&self, by: &str) {
        self.test.merge("secrets", super::SECRET, "e2e", &json!({"metadata": {"annotations": {"touched": by}}})).await;
        nothing_happens_for(Duration::from_secs(2), "it replaces the certificates").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_a_wrong_clock_replaces_nothing() {
    let test = Test::on(Cluster::shared_bare().await, "wrong-clock").await;
    let clocks = Clocks::new(&test).await;
    let right = clocks.replica("right");
    right.start();
    right.says(&["serving with a new certificate"]).await;
    right.says(&["our CA is registered in ValidatingWebhookConfiguration"]).await;
    right.says(&["our CA is registered in MutatingWebhookConfiguration"]).await;
    let made = test.get("secrets", super::SECRET).await.unwrap();

    // Minutes. By the first clock the certificates are over, by the second they have not begun.
    for (name, minutes) in [("ahead", 120), ("behind", -30)] {
        clocks.set(name, minutes);
        let wrong = clocks.replica(name);
        wrong.start();
        wrong.says(&["serving with a new certificate"]).await;
        clocks.touch(name).await;
        let log = wrong.logged();
        assert!(wrong.is_running() && !log.contains("renewing") && !log.contains("replacing"), "{name}: {log}");
        wrong.kill().await;
    }
    // A clock that jumps while it runs.
    for minutes in [120, -30, 0] {
        clocks.set("right", minutes);
        clocks.touch(&minutes.to_string()).await;
    }
    let now = test.get("secrets", super::SECRET).await.unwrap();
    assert_eq!(now["data"], made["data"], "the same certificates");

    // With a wrong clock it makes what is right: for the time of the API server.
    right.kill().await;
    test.delete("secrets", super::SECRET).await;
    clocks.set("alone", 120);
    let alone = clocks.replica("alone");
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
