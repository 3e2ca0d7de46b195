//! Puts back what an older version had in a cluster, as it was recorded: content, owners of fields, and status.
use std::collections::BTreeMap;

use holdfast_e2e::cache;
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{SYSTEM, Test, text};

const DATA: &str = "tests/e2e/data/release-0.1.0";
/// When the recorded pause ends.
const END: &str = "2026-12-01T15:26:44Z";
/// A version that no object has.
const OUTDATED: &str = "r1";

/// Everybody who acts, by namespace.
pub struct People {
    pub home: Test,
    pub inner: Test,
    pub system: Test,
}

impl People {
    /// Who acts in the namespace of an object; for cluster-wide ones it does not matter.
    pub fn of(&self, object: &Value) -> &Test {
        [&self.inner, &self.system]
            .into_iter()
            .find(|test| object["metadata"]["namespace"] == *test.ns)
            .unwrap_or(&self.home)
    }

    /// The object as it is now.
    pub async fn read(&self, object: &Value) -> Result<Option<Value>, String> {
        self.of(object).try_get(resource(object), &name(object)).await
    }

    /// The object as it is now; it has to be there.
    pub async fn present(&self, object: &Value) -> Value {
        let found = self.read(object).await.unwrap();
        found.unwrap_or_else(|| panic!("there is no {} {}", text(object, "/kind"), name(object)))
    }
}

pub fn name(object: &Value) -> String {
    text(object, "/metadata/name")
}

/// As [`Test::path`] takes it.
pub fn resource(object: &Value) -> &'static str {
    match object["kind"].as_str().unwrap() {
        "ConfigMap" => "configmaps",
        "CronJob" => "batch/v1/cronjobs",
        "CustomResourceDefinition" => "customresourcedefinitions",
        "Deployment" => "deployments",
        "HorizontalPodAutoscaler" => "autoscaling/v2/horizontalpodautoscalers",
        "ManagedResource" => "managedresources",
        "Namespace" => "namespaces",
        "PodDisruptionBudget" => "policy/v1/poddisruptionbudgets",
        "Role" => "rbac.authorization.k8s.io/v1/roles",
        "RoleBinding" => "rbac.authorization.k8s.io/v1/rolebindings",
        "Secret" => "secrets",
        "Service" => "services",
        "ServiceAccount" => "serviceaccounts",
        "StatefulSet" => "statefulsets",
        "Widget" => "recorded.example.com/v1/widgets",
        other => panic!("where are objects of kind {other}?"),
    }
}

fn recorded(file: &str) -> Vec<Value> {
    let path = cache::workspace().join(DATA).join(file);
    // A pause of then is over.
    let until = (Timestamp::now() + 1.hour()).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let all = std::fs::read_to_string(path).unwrap().replace(END, &until);
    serde_yaml::Deserializer::from_str(&all).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// What was put back, as it was recorded.
pub struct Restored {
    pub objects: Vec<Value>,
    pub managed_resources: Vec<Value>,
}

/// Puts everything back. ManagedResources have to be known, and nobody of ours may run.
pub async fn restore(people: &People) -> Restored {
    for object in recorded("secrets.yaml") {
        create(people, &object).await;
        // Those of users are theirs, whoever they are.
        if !owners(&object).is_empty() {
            with_owners(people, &object).await;
        }
    }
    let objects = recorded("objects.yaml");
    let mut states = BTreeMap::new();
    for object in &objects {
        create(people, object).await;
        let live = with_owners(people, object).await;
        states.insert(text(object, "/metadata/uid"), (object.clone(), live));
    }
    let mut managed_resources = recorded("managedresources.yaml");
    for mr in &mut managed_resources {
        translate(mr, &states);
        create(people, mr).await;
        let mut live = people.present(mr).await;
        assert_eq!(live["metadata"]["generation"], mr["metadata"]["generation"], "{}", name(mr));
        live["status"] = mr["status"].clone();
        put(people, mr, "/status", &live).await.unwrap();
        let live = with_owners(people, mr).await;
        assert_eq!(live["status"], mr["status"], "the status of {}", name(mr));
    }
    Restored { objects, managed_resources }
}

/// Creates an object. A ManagedResource that was recorded in its second generation gets there by being of another class before.
async fn create(people: &People, object: &Value) {
    let test = people.of(object);
    let mut body = object.clone();
    let metadata = body["metadata"].as_object_mut().unwrap();
    for made_by_the_server in ["uid", "resourceVersion", "generation", "managedFields"] {
        metadata.remove(made_by_the_server);
    }
    let is_later = object["kind"] == "ManagedResource" && object["metadata"]["generation"] == 2;
    if is_later {
        body["spec"]["class"] = "changed-since".into();
    }
    // Its kind may just have been defined.
    test.eventually(&format!("{} to be created", name(object)), || async {
        test.call("POST", &test.path(resource(object), ""), Some(&body)).await.map_err(|error| error.to_string())
    })
    .await;
    if is_later {
        let mut live = people.present(object).await;
        live["spec"] = object["spec"].clone();
        put(people, object, "", &live).await.unwrap();
    }
}

async fn put(people: &People, object: &Value, subresource: &str, body: &Value) -> kube::Result<Value> {
    let test = people.of(object);
    test.call("PUT", &test.path(resource(object), &format!("{}{subresource}", name(object))), Some(body)).await
}

/// Gives an object the owners of its fields that were recorded, beside those that the control plane has become since, and
/// returns the object.
async fn with_owners(people: &People, object: &Value) -> Value {
    let desired = owners(object);
    people
        .of(object)
        .eventually(&format!("{} to have its owners", name(object)), || async {
            let mut live = people.read(object).await?.ok_or("it is not there")?;
            let rest: Vec<Value> = owners(&live).into_iter().filter(is_of_control_plane).collect();
            live["metadata"]["managedFields"] = [desired.clone(), rest].concat().into();
            // In the meantime the control plane may have written its status.
            put(people, object, "", &live).await.map_err(|error| error.to_string())
        })
        .await;
    let live = people.present(object).await;
    let restored: Vec<Value> = owners(&live).into_iter().filter(|entry| !is_of_control_plane(entry)).collect();
    assert_eq!(sorted(&restored), sorted(&desired), "owners of the fields of {}", name(object));
    live
}

fn owners(object: &Value) -> Vec<Value> {
    object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default()
}

fn is_of_control_plane(entry: &Value) -> bool {
    text(entry, "/manager").starts_with("kube-")
}

fn sorted(entries: &[Value]) -> Vec<String> {
    let mut entries: Vec<String> = entries.iter().map(Value::to_string).collect();
    entries.sort();
    entries
}

/// Exchanges in an inventory what only that cluster could give out: uids, and the versions of objects that nobody had
/// written since the inventory was.
fn translate(mr: &mut Value, states: &BTreeMap<String, (Value, Value)>) {
    for reference in mr["status"]["resources"].as_array_mut().unwrap() {
        let state = text(reference, "/state");
        let words: Vec<&str> = state.split(' ').collect();
        let [uid, version, manifest, entry] = words[..] else { panic!("{state} is no state") };
        // Without a new one it was gone.
        let Some((before, now)) = states.get(uid) else { continue };
        let version_of = |object: &Value| {
            if version.starts_with('g') {
                format!("g{}", object["metadata"]["generation"])
            } else {
                format!("r{}", text(object, "/metadata/resourceVersion"))
            }
        };
        let version = if version_of(before) == version { version_of(now) } else { OUTDATED.to_owned() };
        reference["state"] = format!("{} {version} {manifest} {entry}", text(now, "/metadata/uid")).into();
    }
}

/// Namespaces that were there before anything of ours was.
pub async fn homes(test: &Test) {
    for name in [&test.ns, SYSTEM] {
        test.create("namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
    }
}
