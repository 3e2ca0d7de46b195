//! What is left to others is left through restarts, crashes in the middle of a release, and while nobody can tell what
//! autoscalers scale.
use std::time::Duration;

use holdfast_e2e::audit::AuditLog;
use holdfast_e2e::fault_proxy::{Fault, Request, Rule};
use http::Method;
use serde_json::{Value, json};

use super::Stage;
use crate::harness::{AUTOSCALERS, PROTECTION, Recorder, Test, nothing_happens_for};

impl Stage {
    /// Kills the controller at the `number`-th patch of an object from now on.
    fn kill_at(&self, path: &'static str, number: usize, fault: Fault) {
        let select = move |request: &Request| request.method == Method::PATCH && request.path.ends_with(path);
        self.proxy.add(Rule::new(fault, select).nth(number).hook(self.killing()));
    }

    /// Starts the controller again when it has been killed.
    async fn restart(&self) {
        self.replica.ended().await;
        self.proxy.clear();
        self.replica.start();
    }
}

const QUIET: Duration = Duration::from_secs(4);

fn preserved(test: &Test, name: &str, replicas: usize) -> String {
    test.deployment(name)
        .replacen("metadata:\n", "metadata:\n  annotations: {resources.gardener.cloud/preserve-replicas: 'true'}\n", 1)
        .replace("replicas: 2", &format!("replicas: {replicas}"))
}

fn set(test: &Test) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: db, namespace: {}}}, spec: {{selector: {{matchLabels: {{app: db}}}}, \
         template: {{metadata: {{labels: {{app: db}}}}, spec: {{containers: [{{name: main, image: x}}]}}}}, \
         volumeClaimTemplates: [{{metadata: {{name: data}}, spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}}}]}}}}\n---\n",
        test.ns
    )
}

async fn autoscale(test: &Test, name: &str, least: usize) {
    let body = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
        "spec": {"minReplicas": least, "maxReplicas": 20,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}},
    });
    test.create(AUTOSCALERS, &body).await;
}

/// Waits until the status of a ManagedResource tells what was applied, so that a restart knows.
async fn remembered(test: &Test, name: &str) {
    test.eventually("what was applied to be written down", || async {
        let mr = test.try_get("managedresources", name).await?.ok_or("it is gone")?;
        let resources = mr.pointer("/status/resources").and_then(Value::as_array).cloned().unwrap_or_default();
        for reference in &resources {
            let object = reference["name"].as_str().unwrap_or_default();
            let resource = if reference["kind"] == "Deployment" { "deployments" } else { "statefulsets" };
            let live = test.try_get(resource, object).await?.ok_or("it is gone")?;
            // Uid, generation, digests.
            let generation = format!(" g{} ", live["metadata"]["generation"]);
            if !reference["state"].as_str().unwrap_or_default().contains(&generation) {
                return Err(format!("{reference} of {}", live["metadata"]));
            }
        }
        if resources.is_empty() { Err("nothing is held".to_owned()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_scales_nothing() {
    let stage = Stage::set("left", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    stage.submit("mr", &[preserved(test, "web", 2), test.deployment("scaled"), set(test)].concat()).await;
    test.applied("mr").await;
    autoscale(test, "scaled", 5).await;
    test.alice.does("scale deployment web --replicas=6").await;
    test.has("deployments", "scaled", "/spec/replicas", 5).await;
    remembered(test, "mr").await;

    stage.replica.kill().await;
    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    stage.replica.start();
    nothing_happens_for(QUIET, "anything is written").await;
    let mut requests = log.read_of(&stage.account.user).unwrap();
    assert!(requests.iter().any(|request| request.resource == "horizontalpodautoscalers"), "it is asked at the start");
    requests.retain(|request| request.is_write() && !["events", "leases"].contains(&request.resource.as_str()));
    assert!(requests.is_empty(), "{requests:#?}");

    // Scaled while nobody looked, it stays, too.
    stage.replica.kill().await;
    test.alice.does("scale deployment web --replicas=7").await;
    test.alice.does("scale deployment scaled --replicas=8").await;
    stage.replica.start();
    test.applied("mr").await;
    test.resync("mr").await;
    nothing_happens_for(QUIET, "the numbers are changed").await;
    test.has("deployments", "web", "/spec/replicas", 7).await;
    test.has("deployments", "scaled", "/spec/replicas", 8).await;
    assert!(test.events("Repaired").await.is_empty(), "{:?}", test.events("Repaired").await);
}

/// Killed at each write of a release: nothing is lost, and no other number is ever seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_a_release() {
    let stage = Stage::set("midway", &[]).await;
    let test = &stage.test;
    // Created, and not released yet.
    stage.kill_at("/deployments/web", 2, Fault::CutBefore);
    stage.replica.start();
    stage.submit("mr", &preserved(test, "web", 2)).await;
    stage.restart().await;
    test.applied("mr").await;
    let recorder = Recorder::start(test, "web").await;
    test.alice.does("scale deployment web --replicas=5").await;
    test.resync("mr").await;
    let mut expected = vec![2, 5];
    assert_eq!(recorder.seen(), expected);

    // The rule ends, and begins again: before and after the release, before and after the apply.
    for (write, fault) in [(1, Fault::CutBefore), (1, Fault::CutAfter), (2, Fault::CutBefore), (2, Fault::CutAfter)] {
        test.redeclare("mr", &test.deployment("web").replace("replicas: 2", "replicas: 4")).await;
        test.has("deployments", "web", "/spec/replicas", 4).await;
        stage.kill_at("/deployments/web", write, fault);
        test.secret("mr", &preserved(test, "web", 9)).await;
        stage.restart().await;
        test.redeclare("mr", &preserved(test, "web", 9).replace("image: nginx", "image: other")).await;
        test.has("deployments", "web", "/spec/template/spec/containers/0/image", "other").await;
        test.alice.does("scale deployment web --replicas=6").await;
        test.resync("mr").await;
        expected.extend([4, 6]);
        assert_eq!(recorder.seen(), expected);
    }
}

/// Nobody can tell what is scaled: such workloads wait, and nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn autoscalers_that_cannot_be_read() {
    let stage = Stage::set("hpa-denied", &[]).await;
    let test = &stage.test;
    test.alice.does("create deployment scaled --image=nginx --replicas=6").await;
    autoscale(test, "scaled", 6).await;
    let forbidden = Fault::Answer { code: 403, retry_after: None };
    stage.proxy.add(Rule::new(forbidden, |request| request.path.contains("/horizontalpodautoscalers")));
    stage.replica.start();
    let scaled = test.deployment("scaled").replace("name: main", "name: nginx");
    let rest = [test.config_map("a", "one"), preserved(test, "web", 2), set(test)].concat();
    stage.submit("mr", &[scaled, rest].concat()).await;
    test.message("mr", "ApplyFailed", &["/scaled", "HorizontalPodAutoscaler", "403"]).await;
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
    test.has("statefulsets", "db", "/spec/replicas", 1).await;
    test.has("deployments", "scaled", "/spec/replicas", 6).await;
    stage.proxy.clear();
    test.applied("mr").await;
    test.has("deployments", "scaled", "/spec/replicas", 6).await;
    test.has("deployments", "scaled", PROTECTION, "deny").await;
}

/// Nobody asks for autoscalers where no workload depends on them.
#[tokio::test(flavor = "multi_thread")]
async fn autoscalers_are_not_watched_without_need() {
    let stage = Stage::set("hpa-unused", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    stage.submit("mr", &[test.config_map("a", "one"), preserved(test, "web", 2)].concat()).await;
    test.applied("mr").await;
    let lookups = || stage.proxy.entries().iter().any(|entry| entry.request.path.contains("/horizontalpodautoscalers"));
    assert!(!lookups());
    test.redeclare("mr", &test.deployment("web")).await;
    assert!(lookups());
}
