//! Settings and surroundings that differ from the chart's.
use std::sync::Arc;
use std::time::Duration;

use holdfast_e2e::audit::AuditLog;
use holdfast_e2e::control_plane::User;
use serde_json::{Value, json};

use super::Stage;
use crate::harness::{Account, Cluster, Replica, Test, nothing_happens_for};
use crate::install::definition_swaps::foreign_definition;

#[tokio::test(flavor = "multi_thread")]
async fn pruning_can_wait_for_success() {
    let stage = Stage::set("prune", &["--prune=on-success"]).await;
    let test = &stage.test;
    stage.replica.start();
    stage.submit("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    test.applied("mr").await;
    test.secret("mr", &[test.config_map("a", "two"), test.refused_config_map("bad-name", "one")].concat()).await;
    test.message("mr", "ApplyFailed", &["bad-name", "pruning waits for success (--prune=on-success); 1 object stays"])
        .await;
    test.has("configmaps", "a", "/data/k", "two").await;
    assert!(test.get("configmaps", "b").await.is_some());
    test.redeclare("mr", &test.config_map("a", "three")).await;
    test.gone("configmaps", "b").await;
}

/// A kind is watched while there are objects of it, and not any longer.
#[tokio::test(flavor = "multi_thread")]
async fn watches_end_with_their_use() {
    let stage = Stage::set("unused", &[]).await;
    let test = &stage.test;
    let range = format!(
        "{{apiVersion: v1, kind: LimitRange, metadata: {{name: l, namespace: {}}}, spec: {{limits: [{{type: Pod, max: {{cpu: '1'}}}}]}}}}\n---\n",
        test.ns
    );
    stage.replica.start();
    stage.submit("mr", &[range, test.config_map("a", "one")].concat()).await;
    test.applied("mr").await;
    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    test.redeclare("mr", &test.config_map("a", "two")).await;
    let mut ended = Vec::new();
    let what = "the watch of LimitRanges to end";
    for _ in 0..100 {
        // A watch is in the log when it has ended.
        let requests = log.read_of(&stage.account.user).unwrap();
        ended.extend(requests.into_iter().filter(|request| request.verb == "watch").map(|request| request.resource));
        if ended.iter().any(|resource| resource == "limitranges") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(ended.iter().any(|resource| resource == "limitranges"), "waited for {what}: {ended:?}");
    assert!(!ended.iter().any(|resource| resource == "configmaps"), "what is in use is still watched");
    test.alice.does(r#"patch configmap a -p {"data":{"k":"x"}}"#).await;
    test.has("configmaps", "a", "/data/k", "two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_definition_is_lived_with() {
    let cluster = Arc::new(Cluster::bare().await);
    let client = cluster.control_plane.client(User::Admin).unwrap();
    let body = foreign_definition().to_string().into_bytes();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let request = http::Request::post(path).header("Content-Type", "application/json").body(body).unwrap();
    client.request_text(request).await.unwrap();
    let test = Test::on(cluster, "dropping").await;
    let account = Account::create(&test, "controller").await;
    let replica = Replica::direct(&test.cluster, "dropping", &account.token, "resources").in_namespace(&test.ns);
    replica.start();
    test.secret("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).await;
    test.eventually("ManagedResources to be served", || async {
        test.try_mr("mr", &["mr"], json!({})).await.map_err(|error| error.to_string())
    })
    .await;
    test.applied("mr").await;
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"][0]["source"], Value::Null, "the server drops our fields");

    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    for _ in 0..3 {
        test.alice.does(r#"patch configmap a -p {"data":{"k":"x"}}"#).await;
        test.has("configmaps", "a", "/data/k", "one").await;
    }
    test.resync("mr").await;
    test.eventually("an Event that says so", || async {
        let reported = test.events("ForeignDefinition").await;
        if reported.is_empty() { Err("there is none".to_owned()) } else { Ok(()) }
    })
    .await;
    // Longer than observations wait to be written down.
    nothing_happens_for(Duration::from_secs(4), "the status is written again and again").await;
    let requests = log.read_of(&account.user).unwrap();
    let of_status = requests.iter().filter(|request| request.subresource == "status").count();
    assert!(of_status <= 4, "{of_status} writes of the status");
    nothing_happens_for(Duration::from_secs(4), "anything is written").await;
    let writes: Vec<_> = log
        .read_of(&account.user)
        .unwrap()
        .into_iter()
        .filter(|request| request.is_write() && request.resource != "leases")
        .collect();
    assert!(writes.is_empty(), "it does not go on for ever: {writes:?}");
    assert_eq!(test.events("ForeignDefinition").await.len(), 1, "it is said once");
}
