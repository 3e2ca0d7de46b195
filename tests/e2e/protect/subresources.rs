//! Ways around the object itself: subresources that change what is held are refused, the others are nobody's business.
use std::sync::Arc;

use holdfast_testing::{Definition, any_fields};
use serde_json::{Value, json};

use crate::harness::{Cluster, Test, WEBHOOK, printed};

fn pod(test: &Test, name: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {}}}, spec: {{containers: [{{name: main, image: nginx, \
         resources: {{requests: {{cpu: 100m}}}}}}]}}}}\n---\n",
        test.ns
    )
}

fn scalable(test: &Test) -> String {
    let group = format!("{}.example.com", test.ns);
    let workers = json!({"type": "object", "properties": {"workers": {"type": "integer"}}});
    let mut schema = any_fields();
    schema["properties"] = json!({"spec": workers, "status": workers});
    let scale = json!({"specReplicasPath": ".spec.workers", "statusReplicasPath": ".status.workers"});
    let definition = Definition::new(&group, "Crew").schema(schema).subresources(json!({"status": {}, "scale": scale}));
    format!(
        "{definition}{}\n---\n",
        json!({"apiVersion": format!("{group}/v1"), "kind": "Crew", "metadata": {"name": "c", "namespace": test.ns}, "spec": {"workers": 2}})
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_are_not_scaled_either() {
    let test = Test::shared("crew").await;
    let sets = "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: r, namespace: NS}, spec: {replicas: 0, selector: {matchLabels: {app: r}}, template: {metadata: {labels: {app: r}}, spec: {containers: [{name: c, image: nginx}]}}}}\n---\n";
    test.declare("mr", &[scalable(&test), sets.replace("NS", &test.ns), test.deployment("web")].concat()).await;
    let crew = format!("crews.v1.{}.example.com/c", test.ns);
    for object in [crew.as_str(), "replicaset/r", "deployment/web"] {
        let output = test.alice.with(&["scale", object, "--replicas=5"]).await;
        let refusal = output.refusal().unwrap();
        assert!(refusal.contains("spec.replicas is declared") && refusal.contains("scale.protect"), "{refusal}");
    }
    let crews = format!("{}.example.com/v1/crews", test.ns);
    test.has(&crews, "c", "/spec/workers", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_neither_resized_nor_debugged() {
    let test = Test::shared("pods").await;
    test.declare("mr", &pod(&test, "p")).await;
    let resize = r#"{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"200m"}}}]}}"#;
    let output = test.alice.with(&["patch", "pod", "p", "--subresource=resize", "-p", resize]).await;
    let refusal = output.refusal().unwrap();
    let field = "spec.containers[name=main].resources.requests.cpu is declared in Secret";
    assert!(refusal.contains(field) && refusal.contains("would be reset"), "{refusal}");
    assert!(refusal.contains("pods.protect"), "{refusal}");
    let refusal =
        test.alice.with(&["debug", "p", "--image=busybox", "--target=main", "--attach=false"]).await.refusal().unwrap();
    let field = refusal.split_once("spec.ephemeralContainers[name=debugger-").expect(&refusal).1;
    assert!(field.contains("] is not declared in Secret") && refusal.contains("pods.protect"), "{refusal}");
    // And what is proposed instead works.
    let hint = format!("kubectl debug p -n {} -it --image=IMAGE --copy-to=COPY", test.ns);
    assert!(refusal.contains(&hint), "{refusal}");
    test.alice.does("debug p --image=busybox --copy-to=copy --attach=false").await;
    assert!(test.get("pods", "copy").await.is_some());

    // In declared scope a debugger is an addition, requests that are declared are not.
    test.mr("mr", &["mr"], json!({"protection": {"scope": "Declared"}})).await;
    test.applied("mr").await;
    test.eventually("a debugger to pass", || async {
        let output = test.alice.with(&["debug", "p", "--image=busybox", "--target=main", "--attach=false"]).await;
        if output.status.success() { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    let output = test.alice.with(&["patch", "pod", "p", "--subresource=resize", "-p", resize]).await;
    let refusal = output.refusal().unwrap();
    assert!(refusal.contains("containers[name=main].resources.requests.cpu is declared"), "{refusal}");
}

/// Reviews of managed objects that all replicas of the webhook have answered.
async fn reviews(cluster: &Cluster) -> usize {
    let mut all = 0;
    for pod in cluster.player.pods_of(WEBHOOK) {
        let reported = crate::install::config_file::answers(&format!("{}:8081", pod.address), "/metrics", 200).await;
        let of_objects =
            reported.lines().filter(|line| line.starts_with("holdfast_webhook_requests_total{path=\"/protect\""));
        all += of_objects.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum::<usize>();
    }
    all
}

/// Status, evictions, bindings, tokens, approvals and metadata of others cost no call of the webhook.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_nobodys_business_is_not_called_out() {
    let test = Test::on(Arc::new(Cluster::installed().await), "quiet").await;
    let account =
        format!("{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: robot, namespace: {}}}}}\n---\n", test.ns);
    test.declare(
        "mr",
        &[pod(&test, "p"), pod(&test, "evicted"), account, test.deployment("web"), test.config_map("a", "one")]
            .concat(),
    )
    .await;
    test.has("deployments", "web", "/status/replicas", 2).await;
    let refused = || async {
        test.alice.with(&["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#]).await.refusal().unwrap()
    };
    let before = reviews(&test.cluster).await;
    refused().await;
    let after = reviews(&test.cluster).await;
    assert_eq!(after, before + 1, "an edit is counted");

    let call = |path: String, body: Value| {
        let test = &test;
        async move { test.call("POST", &path, Some(&body)).await.unwrap_or_else(|error| panic!("{path}: {error}")) }
    };
    let pods = test.path("pods", "");
    call(format!("{pods}/p/binding"), json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}})).await;
    let status = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
    test.alice.does(&format!("patch pod p --subresource=status -p {status}")).await;
    test.alice.does("create token robot").await;
    // Nor are labels and annotations that are anybody's, with or without content beside them that stays.
    for object in ["configmap/a", "deployment/web"] {
        test.alice.does(&format!("annotate {object} example.com/x=1")).await;
        test.alice.does(&format!("label {object} example.com/x=1")).await;
        test.alice.does(&format!("label {object} example.com/x-")).await;
    }
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted"}});
    let uid = test.uid("pods", "evicted").await;
    call(format!("{pods}/evicted/eviction"), eviction).await;
    // No node runs it, so there is no exec; the webhook has no say in it, and the API server says why.
    let output = test.alice.run("exec p -- true").await;
    assert!(!printed(&output).contains("admission webhook"), "{}", printed(&output));
    assert_eq!(reviews(&test.cluster).await, after, "nothing else was called out");
    // And what was evicted comes back, as it is declared.
    test.eventually("another pod", || async {
        let now = test.try_get("pods", "evicted").await?.ok_or("it is gone")?;
        if now["metadata"]["uid"] == uid.as_str() { Err("the old one".to_owned()) } else { Ok(()) }
    })
    .await;
    the_chart_protects_namespaces_with_managed_objects(&test).await;
}

/// Here, since it needs an installation of its own.
async fn the_chart_protects_namespaces_with_managed_objects(test: &Test) {
    let chart = holdfast_e2e::cache::workspace().join("charts/holdfast").display().to_string();
    let system = Test::within(Arc::clone(&test.cluster), crate::harness::SYSTEM);
    let upgrade = [
        "upgrade",
        holdfast_e2e::install::RELEASE,
        &chart,
        "--reuse-values",
        "--set",
        "webhook.namespaceDeletion=Deny",
    ];
    system.admin.helm(&upgrade).await.success().unwrap();
    test.eventually("the deletion to be refused", || async {
        let output = test.alice.run(&format!("delete namespace {} --dry-run=server", test.ns)).await;
        let refusal = output.refusal().map_err(|error| error.to_string())?;
        if refusal.contains("holds 5 managed objects of ManagedResource") { Ok(()) } else { Err(refusal) }
    })
    .await;
    test.alice.does("create namespace empty").await;
    test.alice.does("delete namespace empty").await;
}
