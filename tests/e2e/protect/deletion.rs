//! Deletions that nobody refuses, and those of namespaces.
use serde_json::{Value, json};

use crate::harness::{Test, printed};

fn job(test: &Test) -> String {
    format!(
        "{{apiVersion: batch/v1, kind: Job, metadata: {{name: j, namespace: {}}}, spec: {{ttlSecondsAfterFinished: 1, suspend: true, \
         template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: nginx}}]}}}}}}}}\n---\n",
        test.ns
    )
}

fn namespace(name: &str) -> String {
    format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}\n---\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_namespace_is_not_deleted() {
    let test = Test::shared("kept-ns").await;
    let inner = format!("{}-inner", test.ns);
    let map = test.config_map("a", "one").replace(&test.ns, &inner);
    test.declare("mr", &[namespace(&inner), map].concat()).await;
    let refusal = test.alice.run(&format!("delete namespace {inner}")).await.refusal().unwrap();
    assert!(refusal.contains("and would be created again") && refusal.contains("protect.resources"), "{refusal}");
    assert!(test.get("namespaces", &inner).await.unwrap()["metadata"]["deletionTimestamp"].is_null());
    // With its ManagedResource it goes; the namespace controller takes what is in it.
    test.delete("managedresources", "mr").await;
    test.gone("managedresources", "mr").await;
    test.gone("namespaces", &inner).await;
}

/// The namespace of ManagedResource, Secret and objects alike: a warning with their number, and all of it goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_with_all_that_is_in_it_and_a_warning() {
    let (test, other) = (Test::shared("going-ns").await, Test::shared("going-other").await);
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).await;
    other.declare("mr", &[test.config_map("b", "one"), other.config_map("a", "one")].concat()).await;
    let delete = format!("delete namespace {} --wait=false", test.ns);
    let warning = format!("namespace \"{}\" holds 3 managed objects of ManagedResources ", test.ns);
    test.eventually("a warning", || async {
        let output = test.alice.run(&format!("{delete} --dry-run=server")).await;
        if printed(&output).contains(&warning) { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    let output = test.alice.run(&delete).await;
    assert!(output.status.success() && printed(&output).contains(&warning), "{}", printed(&output));
    test.gone("namespaces", &test.ns).await;
    // The other one is told that an object has no place, and holds the rest.
    other.merge("configmaps", "a", "x", &json!({"data": {"k": "one"}})).await;
    other.has("configmaps", "a", "/data/k", "one").await;
    let empty = format!("{}-empty", other.ns);
    other.alice.does(&format!("create namespace {empty}")).await;
    let output = other.alice.run(&format!("delete namespace {empty} --wait=false")).await;
    assert!(output.status.success() && !printed(&output).contains("managed object"), "{}", printed(&output));
    other.redeclare("mr", &other.config_map("a", "one")).await;
}

/// What the control plane deletes: dependents of what is gone, finished jobs, pods that are evicted.
#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_deletes_what_it_deletes() {
    let test = Test::shared("cascade").await;
    test.declare("jobs", &job(&test)).await;
    // Otherwise the foreign owner is removed before the garbage collector has looked.
    test.declare("mr", &test.deployment("web")).repair("Resync").await;
    test.has("deployments", "web", "/status/replicas", 2).await;

    // A managed object with an owner that is gone: by the garbage collector, whom nobody refuses; it is created again.
    let uid = test.uid("deployments", "web").await;
    let owner = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "00000000-0000-0000-0000-000000000001"}]}});
    let exempt = [
        "patch",
        "deployment",
        "web",
        "--type=merge",
        "--as=system:kube-controller-manager",
        "--as-group=system:masters",
        "-p",
    ];
    let owner = owner.to_string();
    test.eventually("the garbage collector to take it", || async {
        let Some(now) = test.try_get("deployments", "web").await? else {
            test.resync("mr").await;
            return Err("it is gone for now".to_owned());
        };
        if now["metadata"]["uid"] != uid.as_str() {
            return Ok(());
        }
        let _ = test.admin.with(&[&exempt[..], &[owner.as_str()]].concat()).await;
        Err("it is there".to_owned())
    })
    .await;

    // A finished Job: by the TTL controller. It is created again.
    let uid = test.uid("batch/v1/jobs", "j").await;
    let time = "2026-01-01T00:00:00Z";
    let done = json!({"status": {"startTime": time, "completionTime": time, "succeeded": 1, "conditions": [
        {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": time},
        {"type": "Complete", "status": "True", "lastTransitionTime": time}]}})
    .to_string();
    test.eventually("the TTL controller to take it", || async {
        let output = test.alice.with(&["patch", "job", "j", "--subresource=status", "--type=merge", "-p", &done]).await;
        let now = test.try_get("batch/v1/jobs", "j").await?.ok_or("it is gone for now")?;
        if now["metadata"]["uid"] == uid.as_str() { Err(format!("it is there: {}", printed(&output))) } else { Ok(()) }
    })
    .await;

    // Children of managed workloads are nobody's business.
    test.has("deployments", "web", "/status/replicas", 2).await;
    let pods = test.list("pods").await;
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    test.alice.does(&format!("delete pod {name} --wait=false")).await;
    test.alice.does("delete replicaset --all --wait=false").await;
}

/// `kubectl drain` evicts, and does not delete: that goes through, for managed pods, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_can_be_drained() {
    let test = Test::shared("drain").await;
    let node = format!("node-{}", test.ns);
    let pod = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: {}}}, spec: {{nodeName: {node}, terminationGracePeriodSeconds: 0, \
         containers: [{{name: c, image: nginx}}]}}}}\n---\n",
        test.ns
    );
    test.call("POST", "/api/v1/nodes", Some(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})))
        .await
        .unwrap();
    test.declare("mr", &pod).await;
    let uid = test.uid("pods", "p").await;
    let refusal = test.alice.run("delete pod p").await.refusal().unwrap();
    assert!(refusal.contains("and would be created again"), "{refusal}");
    let evicted = |now: Option<Value>| now.is_none_or(|pod| pod["metadata"]["uid"] != uid.as_str());
    // With --force, since no controller owns the pod; it comes back, so that draining alone does not end.
    let output = test.admin.run(&format!("drain {node} --force --grace-period=0 --timeout=15s")).await;
    test.eventually("the pod to be evicted", || async {
        if evicted(test.try_get("pods", "p").await?) { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    assert!(!printed(&output).contains("denied the request"), "{}", printed(&output));
    test.delete("managedresources", "mr").await;
    test.call("DELETE", &format!("/api/v1/nodes/{node}"), None).await.unwrap();
}
