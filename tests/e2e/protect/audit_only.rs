//! The first weeks: nothing is refused, everything is told of. And what stands behind mode Revert.
use std::sync::Arc;

use holdfast_e2e::{cache, install};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Cluster, SYSTEM, Test, WEBHOOK, printed};

const SECRET: &str = "hunter2";
const PATCH: [&str; 5] = ["patch", "configmap", "a", "-p", r#"{"data":{"k":"hunter2"}}"#];
const WOULD: &str = "Warning: this would be refused, but Holdfast only watches so far: ";

/// A counter of the webhook, over all replicas.
async fn counted(test: &Test, metric: &str) -> u64 {
    let mut sum = 0;
    for pod in test.cluster.player.pods_of(WEBHOOK) {
        let mut stream = TcpStream::connect((pod.address, pod.ports["probes"])).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let values = answer.lines().filter_map(|line| line.strip_prefix(metric)?.trim().parse::<u64>().ok());
        sum += values.sum::<u64>();
    }
    sum
}

/// Events that tell of what would have been refused, as objects.
async fn reported(test: &Test) -> Vec<Value> {
    let events = test.list("events").await;
    events.into_iter().filter(|event| event["reason"] == "WouldDeny").collect()
}

async fn edits_pass(test: &Test) {
    // What passes stays long enough to be looked at.
    for (name, object, mode) in [("mr", "a", "Deny"), ("reverting", "b", "Revert"), ("dry", "c", "Deny")] {
        test.declare(name, &test.config_map(object, "one")).mode(mode).repair("Resync").await;
    }
    let dry = test.alice.with(&["delete", "configmap", "c", "--dry-run=server"]).await;
    assert!(dry.status.success() && dry.stderr.contains(WOULD), "{}", printed(&dry));

    let output = test.alice.with(&PATCH).await;
    let parts = [WOULD, "data.k is declared in Secret", "would be reset. Change the Secret, or pause it until "];
    assert!(output.status.success() && parts.iter().all(|part| output.stderr.contains(part)), "{}", printed(&output));
    assert_eq!(test.get("configmaps", "a").await.unwrap()["data"]["k"], SECRET);
    let event =
        test.eventually("an Event", || async { reported(test).await.into_iter().next().ok_or_else(String::new) }).await;
    let note = event["message"].as_str().unwrap();
    assert!(note.starts_with("alice: this would be refused") && note.contains("data.k is declared"), "{event}");
    assert!(!event.to_string().contains(SECRET), "{event}");
    let subject = &event["involvedObject"];
    let uid = test.uid("managedresources", "mr").await;
    assert_eq!((&subject["kind"], &subject["uid"]), (&json!("ManagedResource"), &json!(uid)));

    // Nothing is put back either.
    let output = test.alice.run(r#"patch configmap b -p {"data":{"k":"two"}}"#).await;
    assert!(output.status.success() && output.stderr.contains(WOULD), "{}", printed(&output));
    assert_eq!(test.get("configmaps", "b").await.unwrap()["data"]["k"], "two");
    let deleted = test.alice.does("delete configmap b").await;
    assert!(deleted.contains(WOULD) && deleted.contains("would be created again"), "{deleted}");

    // Nor are manifests refused.
    let bad = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "dry"},
        "stringData": {"objects.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {"}});
    let output = test.alice.send("apply --server-side --force-conflicts", &bad.to_string()).await;
    assert!(output.status.success() && output.stderr.contains("manifests cannot be read"), "{}", printed(&output));

    // Nor pauses. An Event tells of them, one in ten seconds on a ManagedResource, so on another one here.
    let endless = r#"{"spec":{"protection":{"pauses":[{"until":"2100-01-01T00:00:00Z"}]}}}"#;
    let output = test.alice.with(&["patch", "managedresource", "dry", "--type=merge", "-p", endless]).await;
    let parts = [WOULD, "is too long: a pause may last 24h at most"];
    assert!(output.status.success() && parts.iter().all(|part| output.stderr.contains(part)), "{}", printed(&output));
    let event = test.eventually("an Event about the pause", || async {
        let events = reported(test).await;
        events.into_iter().find(|event| event["message"].to_string().contains("too long")).ok_or_else(String::new)
    });
    assert_eq!(event.await["involvedObject"]["name"], "dry");
    let end = r#"{"spec":{"protection":{"pauses":null}}}"#;
    test.alice.with(&["patch", "managedresource", "dry", "--type=merge", "-p", end]).await.success().unwrap();

    for (mode, least) in [("deny", 2), ("revert", 2), ("none", 1)] {
        let metric = format!("holdfast_webhook_decisions_total{{mode=\"{mode}\",decision=\"would-deny\"}}");
        assert!(counted(test, &metric).await >= least, "{metric}");
    }
    assert_eq!(counted(test, "holdfast_webhook_decisions_total{mode=\"deny\",decision=\"deny\"}").await, 0);

    // The controller goes on repairing.
    test.resync("mr").await;
    test.has("configmaps", "a", "/data/k", "one").await;
    test.resync("reverting").await;
    test.has("configmaps", "b", "/data/k", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_we_only_watch_everything_passes_and_is_told_of() {
    let test = Test::on(Arc::new(Cluster::bare().await), "audit").await;
    install::install(&test.cluster.control_plane, &test.cluster.player, &["protection.auditOnly=true"]).await.unwrap();
    edits_pass(&test).await;
    let dry: Vec<Value> = reported(&test)
        .await
        .into_iter()
        .filter(|event| event["message"].to_string().contains("would be created"))
        .collect();
    assert!(dry.iter().all(|event| event["involvedObject"]["name"] != "dry"), "a dry run leaves no Event: {dry:?}");

    // It ends with the next upgrade.
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    let system = Test::within(Arc::clone(&test.cluster), SYSTEM);
    let enforce = ["upgrade", install::RELEASE, &chart, "--reuse-values", "--set", "protection.auditOnly=false"];
    system.admin.helm(&enforce).await.success().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    // Another value each time: an edit may still have passed.
    let edit = |name: &'static str| {
        let patch =
            json!({"data": {"k": number.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string()}}).to_string();
        let alice = &test.alice;
        async move { alice.with(&["patch", "configmap", name, "-p", &patch]).await }
    };
    test.eventually("edits to be refused", || async {
        let refusal = edit("a").await.refusal().map_err(|error| error.to_string())?;
        if refusal.contains("(Forbidden)") && !refusal.contains("only watches") { Ok(()) } else { Err(refusal) }
    })
    .await;

    // Whatever keeps the mutating webhook from putting something back, the other one refuses then.
    test.eventually("an edit to be put back", || async {
        let output = edit("b").await;
        if output.stderr.contains("put back; nothing was changed") { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    test.admin.does("delete mutatingwebhookconfiguration zz-holdfast").await;
    test.eventually("edits to be refused where they are not put back", || async {
        let refusal = edit("b").await.refusal().map_err(|error| error.to_string())?;
        if refusal.contains("data.k is declared in Secret") { Ok(()) } else { Err(refusal) }
    })
    .await;
}
