//! What is known of ManagedResources: nothing yet, or nothing new.
use holdfast_e2e::fault_proxy::{Fault, Rule};

use serde_json::json;

use super::{Stage, about_managed_resources};
use crate::harness::{PROTECTION, printed};

const UNKNOWN: &str = "Holdfast does not know the ManagedResources of this cluster yet";

fn unavailable() -> Rule {
    Rule::new(Fault::Answer { code: 503, retry_after: None }, about_managed_resources)
}

async fn scale_passes(stage: &Stage, replicas: usize) {
    let output = stage.test.alice.run(&format!("scale deployment web --replicas={replicas}")).await;
    assert!(output.status.success() && !printed(&output).contains("Holdfast"), "{}", printed(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nothing_is_known_the_failure_policy_decides() {
    let stage = Stage::set("unknown", &[]).await;
    let test = &stage.test;
    stage
        .apply_once(&[test.config_map("a", "one"), test.config_map("b", "one"), test.deployment("web")].concat())
        .await;
    stage.controller.start();
    let pause = json!([{"kind": "ConfigMap", "name": "b", "until": "2100-01-01T00:00:00Z"}]);
    test.merge("managedresources", "mr", "e2e", &json!({"spec": {"protection": {"pauses": pause}}})).await;
    test.has("configmaps", "b", PROTECTION, "off").await;
    stage.controller.kill().await;
    stage.harm(unavailable());
    stage.webhook.start();
    let printed = stage.edit_says("a", UNKNOWN).await;
    assert!(printed.contains("Warning: ") && printed.contains("the change was let through"), "{printed}");
    assert_ne!(test.get("configmaps", "a").await.unwrap()["data"]["k"], "one", "it passes");
    scale_passes(&stage, 3).await;
    stage.probes("/readyz", &["HTTP/1.1 503", "not ready: ", "first list of ManagedResources"]).await;

    stage.webhook.kill().await;
    let webhook = stage.webhook.with(&["--failure-policy=Fail"]);
    let stage = Stage { webhook, ..stage };
    let test = &stage.test;
    stage.webhook.start();
    let printed = stage.edit_says("a", &format!("{UNKNOWN}, so this object cannot be changed now")).await;
    assert!(printed.contains("Forbidden") || printed.contains("denied the request"), "{printed}");
    scale_passes(&stage, 4).await;
    let printed = stage.edit("b").await;
    assert!(
        printed.contains(UNKNOWN) && printed.contains("patched"),
        "what is paused does not depend on us: {printed}"
    );

    stage.proxy.clear();
    stage.edit_says("a", "is managed by").await;
    let output = test.alice.run("scale deployment web --replicas=5").await;
    assert!(output.stderr.contains("is managed by"), "{}", output.stderr);
    stage.probes("/readyz", &["HTTP/1.1 200", "ok\n"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_known_last_goes_on_deciding_and_is_said_to_be_stale() {
    let stage = Stage::set("stale", &["--stale-after=3s"]).await;
    let test = &stage.test;
    stage.apply_once(&test.config_map("a", "one")).await;
    stage.webhook.start();
    stage.edit_says("a", "is managed by").await;
    stage.harm(unavailable());
    stage.proxy.cut_connections();
    stage.probes("/readyz", &["HTTP/1.1 200", "ok\nstale: nothing was heard of ManagedResources for "]).await;
    let metrics = stage.probe("/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("holdfast_webhook_index_age_seconds "));
    assert!(line.and_then(|age| age.parse::<f64>().ok()).is_some_and(|age| age > 3.0), "{metrics}");
    stage.webhook.says(&["the watch of ManagedResources is stale", "deciding by the last known state"]).await;
    let printed = stage.edit("a").await;
    assert!(printed.contains("is managed by"), "what was known decides: {printed}");

    stage.proxy.clear();
    stage.webhook.says(&["the watch of ManagedResources works again"]).await;
    // By way of a Service, HTTP/1.1 is spoken.
    let metrics = stage.probe("/metrics").await;
    assert!(metrics.contains("connections_total{protocol=\"http/1.1\"}") && !metrics.contains("\"h2\""), "{metrics}");
}
