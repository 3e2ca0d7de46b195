//! The first contact with objects that somebody else created: they are taken over as they are. No field changes, no pod is
//! restarted, and from then on nothing is written as long as nothing changes.
//!
//! What the original, kubectl and Helm leave behind differs in `managedFields` only, but there it differs in everything:
//! operation, manager, and whether defaults are listed.
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use holdfast_testing::{KINDS, merge};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{PROTECTION, Test, text, within};

/// Controllers write to new objects for a while.
const SETTLED: Duration = Duration::from_secs(2);
const ORIGINAL: &str = "gardener-resource-manager";

/// The objects of the table for one namespace.
fn kinds(ns: &str) -> Vec<Value> {
    let text = KINDS.replace("NS", ns);
    serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn documents(objects: &[Value]) -> String {
    objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
}

/// The label that the original injects into templates, as we do. Whoever brings objects under our care without it has the
/// pods of their workloads replaced once, as with the original.
fn with_template_labels(mut object: Value) -> Value {
    let label = json!({"resources.gardener.cloud/managed-by": "gardener"});
    if object["kind"] == "CronJob" || object["kind"] == "PodTemplate" {
        return object;
    }
    let claims = object.pointer_mut("/spec/volumeClaimTemplates").and_then(Value::as_array_mut);
    for claim in claims.into_iter().flatten() {
        merge(&mut claim["metadata"], &json!({ "labels": label }));
    }
    if let Some(template) = object.pointer_mut("/spec/template") {
        merge(&mut template["metadata"], &json!({ "labels": label }));
    }
    object
}

/// The objects of the table as they are in the cluster, by kind and name.
async fn live(test: &Test, objects: &[Value]) -> BTreeMap<String, Value> {
    let output = test.admin.send("get --show-managed-fields -o json", &documents(objects)).await;
    let list: Value = serde_json::from_str(&output.success().expect("all objects are there")).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| (format!("{} {}", text(item, "/kind"), text(item, "/metadata/name")), item.clone())).collect()
}

/// The same once nobody has written to them for a while.
async fn settled(test: &Test, objects: &[Value]) -> BTreeMap<String, Value> {
    let mut before = live(test, objects).await;
    for _ in 0..15 {
        tokio::time::sleep(SETTLED).await;
        let now = live(test, objects).await;
        if now == before {
            break;
        }
        before = now;
    }
    before
}

/// Without what only the server writes down, and without our marks: those may be new.
fn content(object: &Value) -> Value {
    let counts_metadata = object["kind"] == "Deployment" || object["kind"] == "EndpointSlice";
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("managedFields");
    metadata.remove("resourceVersion");
    if counts_metadata {
        // The server counts annotations of the one and labels of the other like content, and both get our marks.
        metadata.remove("generation");
    }
    for map in ["labels", "annotations"] {
        let Some(entries) = metadata.get_mut(map).and_then(Value::as_object_mut) else { continue };
        entries.retain(|name, _| !name.starts_with("resources.gardener.cloud/"));
        if entries.is_empty() {
            metadata.remove(map);
        }
    }
    // Written by controllers when they like to.
    object.as_object_mut().unwrap().remove("status");
    object
}

/// Names and uids of what workloads made.
async fn children(test: &Test) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for resource in ["pods", "replicasets", "persistentvolumeclaims", "apps/v1/controllerrevisions"] {
        for object in test.list(resource).await {
            found.insert(format!("{resource} {}", text(&object, "/metadata/name")), text(&object, "/metadata/uid"));
        }
    }
    found
}

/// Declares what is there already, and looks whether anything moved.
async fn is_taken_over_untouched(test: &Test, objects: &[Value]) {
    test.has("persistentvolumeclaims", "data", "/status/phase", "Bound").await;
    let before = settled(test, objects).await;
    assert_eq!(before.len(), objects.len());
    let pods = children(test).await;
    assert!(pods.len() >= 12, "workloads have made their pods: {pods:?}");

    test.declare("mr", &documents(&kinds(&test.ns))).await;

    let after = settled(test, objects).await;
    let mut changed = Vec::new();
    for (name, object) in &after {
        let (old, new) = (content(&before[name]), content(object));
        if old != new {
            changed.push(format!("{name}:\n{old}\n{new}\n{}", object["metadata"]["managedFields"]));
        }
        assert_eq!(object.pointer(PROTECTION), Some(&json!("deny")));
        for entry in object["metadata"]["managedFields"].as_array().unwrap() {
            // Binding is not ours to undo, nor are roles that are put together from others.
            let is_ours = entry["manager"] == "holdfast" && entry["operation"] == "Apply";
            let is_controller = text(entry, "/manager").contains("controller");
            if is_ours || is_controller || entry["subresource"].is_string() {
                continue;
            }
            let fields = entry["fieldsV1"].as_object().unwrap();
            // What is left to others.
            let stays = |field: &String| *field == "f:replicas" || *field == "f:volumeClaimTemplates";
            let is_theirs = |(field, set): (&String, &Value)| {
                field == "f:metadata" || field == "f:spec" && set.as_object().unwrap().keys().all(stays)
            };
            assert!(fields.iter().all(is_theirs), "{name} belongs to others, too: {entry}");
        }
    }
    assert!(changed.is_empty(), "{} objects changed:\n{}", changed.len(), changed.join("\n\n"));
    assert_eq!(children(test).await, pods, "no pod was restarted");
    assert!(test.events("Repaired").await.is_empty(), "a first contact repairs nothing");

    // Everything is applied once more, and nothing is written.
    let mut writes = test.writes();
    test.resync("mr").await;
    writes.at_least(objects.len()).await;
    let again = live(test, objects).await;
    let version = |object: &Value| text(object, "/metadata/resourceVersion");
    let moved: Vec<_> = again
        .iter()
        // A controller may have written a status meanwhile.
        .filter(|(name, object)| {
            version(object) != version(&after[*name]) && object["status"] == after[*name]["status"]
        })
        .collect();
    assert!(moved.is_empty(), "written although nothing changed: {moved:#?}");
}

/// Sends the definition, waits until its kind is served, and sends the rest.
async fn send(test: &Test, command: &str, objects: &[Value]) {
    test.admin.send(command, &documents(&objects[..1])).await.success().unwrap();
    established(test).await;
    test.admin.send(command, &documents(&objects[1..])).await.success().unwrap();
}

async fn established(test: &Test) {
    // Pods are admitted once their service account is there.
    test.eventually("the default service account", || async {
        test.try_get("serviceaccounts", "default").await?.map(|_| ()).ok_or("it is not there".to_owned())
    })
    .await;
    test.eventually("the custom resources to be served", || async {
        let path = format!("/apis/{0}.example.com/v1/namespaces/{0}/widgets", test.ns);
        test.call("GET", &path, None).await.map_err(|error| error.to_string())
    })
    .await;
}

fn address(object: &Value) -> String {
    let kind = text(object, "/kind").to_lowercase();
    let plural = match kind.as_str() {
        "endpoints" => kind,
        suffix if suffix.ends_with('s') => format!("{kind}es"),
        suffix if suffix.ends_with("cy") => format!("{}ies", &kind[..kind.len() - 1]),
        _ => format!("{kind}s"),
    };
    let version = text(object, "/apiVersion");
    let prefix = if version.contains('/') { "apis" } else { "api" };
    match object.pointer("/metadata/namespace").and_then(Value::as_str) {
        Some(ns) => format!("/{prefix}/{version}/namespaces/{ns}/{plural}"),
        None => format!("/{prefix}/{version}/{plural}"),
    }
}

/// As the original writes: one POST with its labels and annotations, and the whole object PUT back later.
async fn as_the_original(test: &Test, object: &Value) {
    let mut object = with_template_labels(object.clone());
    merge(
        &mut object["metadata"],
        &json!({
            "labels": {"resources.gardener.cloud/managed-by": "gardener"},
            "annotations": {
                "resources.gardener.cloud/origin": format!("{}/mr", test.ns),
                "resources.gardener.cloud/description": "DO NOT EDIT - This resource is managed by gardener-resource-manager.\nAny modifications are discarded and the resource is returned to the original state.",
            },
        }),
    );
    let (collection, name) = (address(&object), text(&object, "/metadata/name"));
    let created = test.call("POST", &format!("{collection}?fieldManager={ORIGINAL}"), Some(&object)).await;
    created.unwrap_or_else(|error| panic!("POST {collection}: {error}"));
    within(Duration::from_secs(20), &format!("{collection}/{name} to be written back"), || async {
        let address = format!("{collection}/{name}");
        let live = test.call("GET", &address, None).await.map_err(|error| error.to_string())?;
        let put = test.call("PUT", &format!("{address}?fieldManager={ORIGINAL}"), Some(&live)).await;
        put.map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_go_original_manages() {
    let test = Test::shared("original").await;
    let objects = kinds(&test.ns);
    as_the_original(&test, &objects[0]).await;
    established(&test).await;
    for object in &objects[1..] {
        as_the_original(&test, object).await;
    }
    is_taken_over_untouched(&test, &objects).await;
    // It carried the original's annotations, which are ours, too.
    test.has("deployments", "web", "/metadata/generation", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_created() {
    let test = Test::shared("created").await;
    let objects: Vec<Value> = kinds(&test.ns).into_iter().map(with_template_labels).collect();
    send(&test, "create", &objects).await;
    is_taken_over_untouched(&test, &objects).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_applied() {
    let test = Test::shared("applied").await;
    let objects: Vec<Value> = kinds(&test.ns).into_iter().map(with_template_labels).collect();
    send(&test, "apply", &objects).await;
    // Twice, with a change in between that kubectl wrote down in its annotation.
    let mut changed = objects.clone();
    for object in &mut changed {
        object["metadata"]["labels"]["touched"] = json!("yes");
    }
    test.admin.send("apply", &documents(&changed)).await.success().unwrap();
    is_taken_over_untouched(&test, &objects).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_helm_installed() {
    let test = Test::shared("helm").await;
    let objects: Vec<Value> = kinds(&test.ns).into_iter().map(with_template_labels).collect();
    // The definition is a release of its own: Helm, too, must find the kind served.
    for (release, objects) in [("definition", &objects[..1]), ("rest", &objects[1..])] {
        let chart = test.cluster.control_plane.directory().join(format!("{}-{release}", test.ns));
        fs::create_dir_all(chart.join("templates")).unwrap();
        fs::write(chart.join("Chart.yaml"), format!("{{apiVersion: v2, name: {release}, version: 1.0.0}}")).unwrap();
        fs::write(chart.join("templates/all.yaml"), documents(objects)).unwrap();
        test.admin.helm(&["install", release, &chart.display().to_string()]).await.success().unwrap();
        established(&test).await;
    }
    is_taken_over_untouched(&test, &objects).await;
    let service = test.get("services", "web").await.unwrap();
    assert_eq!(service["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm", "{service}");
    assert_eq!(service["metadata"]["annotations"]["meta.helm.sh/release-name"], "rest", "{service}");
}
