//! What is left to others of templates: requests and limits, restarts, claims.
use serde_json::{Value, json};

use super::{MAIN, QUIET, annotated, edit_is_refused, may, written};
use crate::harness::{Test, nothing_happens_for};

const RESOURCES: &str = "resources.gardener.cloud/preserve-resources";

/// Two containers, and one that runs first.
fn with_resources(test: &Test, cpu: &str, more: &str) -> String {
    let limits =
        format!("resources: {{requests: {{cpu: {cpu}, memory: 1Mi}}, limits: {{cpu: 2, ephemeral-storage: 1Gi}}}}");
    let containers = format!(
        "      containers:\n      - {{name: main, image: nginx, {limits}}}\n{more}      initContainers:\n      - {{name: first, image: nginx, {limits}}}\n"
    );
    let manifest =
        test.deployment("web").replace("      containers:\n      - {name: main, image: nginx}\n", &containers);
    annotated(&manifest, RESOURCES, "true")
}

fn of(container: &str, resources: &Value) -> String {
    json!({"spec": {"template": {"spec": {"containers": [{"name": container, "resources": resources}]}}}}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_limits_are_left_where_the_manifest_says_so() {
    let test = Test::shared("requests").await;
    let side = "      - {name: side, image: nginx, resources: {limits: {memory: 1Gi}}}\n";
    test.declare("mr", &with_resources(&test, "1", side)).await;
    test.has("deployments", "web", &format!("{MAIN}/resources/requests/cpu"), "1").await;
    let patch = of("main", &json!({"requests": {"cpu": "500m"}, "limits": {"memory": "3Gi"}}));
    may(&test, &["patch", "deployment", "web", "-p", &patch]).await;
    edit_is_refused(
        &test,
        &["patch", "deployment", "web", "-p", &of("main", &json!({"limits": {"ephemeral-storage": "2Gi"}}))],
        "ephemeral-storage",
    )
    .await;
    let first = of("first", &json!({"requests": {"cpu": "500m"}})).replace("containers", "initContainers");
    edit_is_refused(&test, &["patch", "deployment", "web", "-p", &first], "initContainers").await;
    edit_is_refused(&test, &["patch", "deployment", "web", "-p", r#"{"spec":{"replicas":1}}"#], "replicas").await;

    // Other numbers in the Secret change nothing, a resync neither.
    let mut writes = test.writes();
    test.redeclare("mr", &with_resources(&test, "1500m", side)).await;
    // The init container's count as ever.
    test.has("deployments", "web", "/spec/template/spec/initContainers/0/resources/requests/cpu", "1500m").await;
    assert!(!writes.more().is_empty());
    test.resync("mr").await;
    let resources = json!({
        "requests": {"cpu": "500m", "memory": "1Mi"},
        "limits": {"cpu": "2", "memory": "3Gi", "ephemeral-storage": "1Gi"}
    });
    test.has("deployments", "web", &format!("{MAIN}/resources"), resources).await;

    // A container that is new gets what its manifest says, and one that is dropped goes with all that is in it.
    let new = "      - {name: new, image: nginx, resources: {limits: {memory: 2Gi}, requests: {memory: 1Gi}}}\n";
    test.redeclare("mr", &with_resources(&test, "1500m", new)).await;
    let containers = test.get("deployments", "web").await.unwrap()["spec"]["template"]["spec"]["containers"].clone();
    let names: Vec<&Value> = containers.as_array().unwrap().iter().map(|container| &container["name"]).collect();
    assert_eq!(names, ["main", "new"]);
    assert_eq!(containers[1]["resources"], json!({"limits": {"memory": "2Gi"}, "requests": {"memory": "1Gi"}}));
    assert_eq!(containers[0]["resources"]["requests"]["cpu"], "500m");
    let patch = of("new", &json!({"limits": {"memory": "4Gi"}}));
    may(&test, &["patch", "deployment", "web", "-p", &patch]).await;

    // What somebody removes is declared still, and comes back.
    let remove = r#"[{"op":"remove","path":"/spec/template/spec/containers/0/resources/requests/memory"}]"#;
    may(&test, &["patch", "deployment", "web", "--type=json", "-p", remove]).await;
    test.has("deployments", "web", &format!("{MAIN}/resources/requests/memory"), "1Mi").await;
    test.has("deployments", "web", &format!("{MAIN}/resources/requests/cpu"), "500m").await;

    // It ends: everything is as the manifest says.
    let plain = with_resources(&test, "1500m", new).replace(RESOURCES, "example.com/x");
    test.redeclare("mr", &plain).await;
    let resources = json!({
        "requests": {"cpu": "1500m", "memory": "1Mi"},
        "limits": {"cpu": "2", "ephemeral-storage": "1Gi"}
    });
    test.has("deployments", "web", &format!("{MAIN}/resources"), resources).await;
    test.has("deployments", "web", "/spec/template/spec/containers/1/resources/limits/memory", "2Gi").await;
}

const TEMPLATES: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web, namespace: NS, annotations: {resources.gardener.cloud/preserve-resources: 'true'}}
spec: {replicas: 0, selector: {matchLabels: {app: web}}, template: TEMPLATE}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web, namespace: NS, annotations: {resources.gardener.cloud/preserve-resources: 'true'}}
spec: {selector: {matchLabels: {app: web}}, template: TEMPLATE}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: web, namespace: NS, annotations: {resources.gardener.cloud/preserve-resources: 'true'}}
spec: {schedule: 0 0 1 1 *, jobTemplate: {spec: {template: TEMPLATE}}}
---
";

fn foreign(test: &Test, cpu: &str) -> String {
    let main = format!("{{name: main, image: nginx, resources: {{requests: {{cpu: {cpu}}}}}}}");
    let template = format!("{{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{main}]}}}}");
    let once = template.replace("spec: {con", "spec: {restartPolicy: Never, con");
    let all = TEMPLATES.replace("NS", &test.ns).replace("{template: TEMPLATE}", &format!("{{template: {once}}}"));
    all.replace("TEMPLATE", &template)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_left_in_every_kind_that_is_meant() {
    let test = Test::shared("kinds-of").await;
    test.declare("mr", &foreign(&test, "1")).await;
    let template = json!({"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "3"}}}]}});
    let at = |template: &str| format!("/spec/{template}/spec/containers/0/resources/requests/cpu");
    let cases = [
        ("statefulsets", "statefulset", json!({"template": template}), at("template")),
        ("apps/v1/daemonsets", "daemonset", json!({"template": template}), at("template")),
        (
            "batch/v1/cronjobs",
            "cronjob",
            json!({"jobTemplate": {"spec": {"template": template}}}),
            at("jobTemplate/spec/template"),
        ),
    ];
    for (resource, kind, patch, pointer) in &cases {
        test.has(resource, "web", pointer, "1").await;
        may(&test, &["patch", kind, "web", "-p", &json!({"spec": patch}).to_string()]).await;
    }
    // What users do is looked at, once.
    tokio::time::sleep(QUIET).await;
    let mut writes = test.writes();
    test.redeclare("mr", &foreign(&test, "2")).await;
    writes.none_for(QUIET, "pods that users changed are written to").await;
    test.resync("mr").await;
    for (resource, _, _, pointer) in &cases {
        test.has(resource, "web", pointer, "3").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_pods_is_allowed_and_not_undone() {
    let test = Test::shared("rollout").await;
    let key = "kubectl.kubernetes.io/restartedAt";
    let pointer = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
    let declared = |at: &str| {
        test.deployment("own").replacen(
            "    metadata:\n      labels",
            &format!("    metadata:\n      annotations: {{{key}: {at:?}}}\n      labels"),
            1,
        )
    };
    let rest = foreign(&test, "1");
    test.declare("mr", &[&*test.deployment("web"), &*declared("one"), &*rest].concat()).await;
    test.has("deployments", "own", pointer, "one").await;
    let cases =
        [("deployments", "web"), ("deployments", "own"), ("statefulsets", "web"), ("apps/v1/daemonsets", "web")];
    let mut values = Vec::new();
    for (resource, name) in cases {
        let plural = resource.rsplit('/').next().unwrap();
        may(&test, &["rollout", "restart", &format!("{plural}/{name}")]).await;
        let at = test.get(resource, name).await.unwrap().pointer(pointer).unwrap().clone();
        assert!(at.as_str().unwrap().len() > 10, "{resource}/{name}: {at}");
        values.push(at);
    }
    // What the manifest says of it counts only until it is there.
    test.redeclare("mr", &[&*test.deployment("web"), &*declared("two"), &*rest].concat()).await;
    test.resync("mr").await;
    nothing_happens_for(QUIET, "the pods are restarted once more").await;
    for ((resource, name), at) in cases.iter().zip(&values) {
        assert_eq!(test.get(resource, name).await.unwrap().pointer(pointer).unwrap(), at, "{resource}/{name}");
    }
    // Dropped from the manifest, it stays: removing it would restart the pods once more.
    test.redeclare("mr", &[&*test.deployment("web"), &*test.deployment("own"), &*rest].concat()).await;
    test.resync("mr").await;
    assert_eq!(test.get("deployments", "own").await.unwrap().pointer(pointer).unwrap(), &values[1]);
    // Other annotations of the template are held.
    let other = r#"{"spec":{"template":{"metadata":{"annotations":{"x":"y"}}}}}"#;
    edit_is_refused(&test, &["patch", "deployment", "web", "-p", other], "annotations").await;
}

fn set(test: &Test, size: &str, image: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: db, namespace: {}}}, spec: {{replicas: 0, selector: {{matchLabels: {{app: db}}}}, \
         template: {{metadata: {{labels: {{app: db}}}}, spec: {{containers: [{{name: main, image: {image}}}]}}}}, \
         volumeClaimTemplates: [{{metadata: {{name: data}}, spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {size}}}}}}}}}]}}}}\n---\n",
        test.ns
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn claim_templates_stay_as_they_were_created() {
    let test = Test::shared("claims-of").await;
    let size = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";
    test.declare("mr", &set(&test, "1Gi", "one")).mode("Off").await;
    test.has("statefulsets", "db", size, "1Gi").await;
    // Alone it is no change, and with another it does not stand in its way.
    let mut writes = test.writes();
    test.redeclare("mr", &set(&test, "2Gi", "one")).await;
    writes.none_for(QUIET, "a claim template is written").await;
    test.redeclare("mr", &set(&test, "2Gi", "two")).await;
    test.has("statefulsets", "db", &format!("{MAIN}/image"), "two").await;
    test.has("statefulsets", "db", size, "1Gi").await;
    let before = written(&test, "statefulsets", "db").await;
    let version = test.get("statefulsets", "db").await.unwrap()["metadata"]["resourceVersion"].clone();
    test.resync("mr").await;
    assert_eq!(written(&test, "statefulsets", "db").await, before);
    assert_eq!(test.get("statefulsets", "db").await.unwrap()["metadata"]["resourceVersion"], version);
    // Nor does a manifest without any.
    let none = set(&test, "2Gi", "three").split(", volumeClaimTemplates").next().unwrap().to_owned() + "}}\n---\n";
    test.redeclare("mr", &none).await;
    test.has("statefulsets", "db", &format!("{MAIN}/image"), "three").await;
    test.has("statefulsets", "db", size, "1Gi").await;
    // Created anew, it has those of the manifest.
    test.redeclare("mr", &set(&test, "2Gi", "three")).await;
    test.alice.does("delete statefulset db --wait=false").await;
    test.has("statefulsets", "db", size, "2Gi").await;
}
