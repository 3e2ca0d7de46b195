//! From the Go original to us and back, in place. The original is played: it writes what its specification says, with its
//! field manager.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_testing::merge;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, LEASES, OUR_FINALIZER, PROTECTION, Replica, Test, text};
use crate::install::definition_swaps::{foreign_definition, put_definition};

const MANAGER: &str = "gardener-resource-manager";
const DESCRIPTION: &str = "DO NOT EDIT - This resource is managed by gardener-resource-manager.\nAny modifications are discarded and the resource is returned to the original state.";

/// The original.
struct Original<'a> {
    test: &'a Test,
}

fn plural(object: &Value) -> String {
    format!("{}s", text(object, "/kind").to_lowercase())
}

impl Original<'_> {
    /// The objects of a Secret as they are to be applied, and their references.
    async fn desired(&self) -> Vec<(Value, Value)> {
        let secret = self.test.get("secrets", "mr").await.unwrap();
        let data = text(&secret, "/data/objects.yaml");
        let data = String::from_utf8(base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap());
        let mut all = Vec::new();
        for document in serde_yaml::Deserializer::from_str(&data.unwrap()) {
            let mut object: Value = serde::Deserialize::deserialize(document).unwrap();
            if object.is_null() {
                continue;
            }
            let injected = json!({"labels": {"resources.gardener.cloud/managed-by": "gardener"}});
            let annotations = object.pointer("/metadata/annotations").cloned();
            merge(&mut object["metadata"], &injected);
            if let Some(template) = object.pointer_mut("/spec/template") {
                merge(&mut template["metadata"], &injected);
            }
            let mut reference = json!({
                "apiVersion": object["apiVersion"], "kind": object["kind"], "namespace": self.test.ns,
                "name": object["metadata"]["name"], "labels": object["metadata"]["labels"],
            });
            if let Some(annotations) = annotations {
                reference["annotations"] = annotations;
            }
            let ownership = json!({"annotations": {
                "resources.gardener.cloud/origin": format!("{}/mr", self.test.ns),
                "resources.gardener.cloud/description": DESCRIPTION,
            }});
            merge(&mut object["metadata"], &ownership);
            all.push((object, reference));
        }
        let key = |reference: &Value| {
            let version = text(reference, "/apiVersion");
            let group = version.split_once('/').map_or("", |(group, _)| group);
            format!(
                "{group}/{}/{}/{}",
                text(reference, "/kind"),
                text(reference, "/namespace"),
                text(reference, "/name")
            )
        };
        all.sort_by_key(|(_, reference)| key(reference));
        all
    }

    /// One pass: each object is created, or merged into what is there and put back; the status is put as a whole.
    async fn reconcile(&self) {
        let test = self.test;
        let mr = test.get("managedresources", "mr").await.unwrap();
        let finalizers = json!({"metadata": {"finalizers": [OUR_FINALIZER]}});
        if mr["metadata"]["finalizers"].is_null() {
            test.merge("managedresources", "mr", MANAGER, &finalizers).await;
        }
        let applied = mr["status"]["resources"].as_array().cloned().unwrap_or_default();
        let all = self.desired().await;
        let name_of = |reference: &Value| {
            ["apiVersion", "kind", "namespace", "name"].map(|field| text(reference, &format!("/{field}")))
        };
        for old in &applied {
            let is_desired = all.iter().any(|(_, new)| name_of(new) == name_of(old));
            assert!(is_desired, "the original would delete {old}");
        }
        for (object, reference) in &all {
            let old = applied.iter().find(|old| name_of(old) == name_of(reference)).cloned().unwrap_or_default();
            self.apply(object, &old).await;
        }
        let references: Vec<&Value> = all.iter().map(|(_, reference)| reference).collect();
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({"type": kind, "status": status, "reason": reason, "message": "All is well.",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "lastUpdateTime": "2026-01-01T00:00:00Z"})
        };
        test.eventually("the status to be written", || async {
            let mut mr = test.get("managedresources", "mr").await.unwrap();
            mr["status"] = json!({
                "conditions": [condition("ResourcesApplied", "True", "ApplySucceeded"),
                    condition("ResourcesHealthy", "True", "ResourcesHealthy"),
                    condition("ResourcesProgressing", "False", "ResourcesRolledOut")],
                "observedGeneration": mr["metadata"]["generation"], "resources": references,
                "secretsDataChecksum": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            });
            let path = format!("{}/status?fieldManager={MANAGER}", test.path("managedresources", "mr"));
            test.call("PUT", &path, Some(&mr)).await.map_err(|error| error.to_string())
        })
        .await;
    }

    async fn apply(&self, object: &Value, old: &Value) {
        let (test, plural, name) = (self.test, plural(object), text(object, "/metadata/name"));
        if test.get(&plural, &name).await.is_none() {
            let path = format!("{}?fieldManager={MANAGER}", test.path(&plural, ""));
            test.call("POST", &path, Some(object)).await.unwrap();
        }
        test.eventually(&format!("{plural}/{name} to be put back"), || async {
            let live = test.get(&plural, &name).await.unwrap();
            let mut new = object.clone();
            new["metadata"] = live["metadata"].clone();
            for map in ["labels", "annotations"] {
                let entries = new["metadata"][map].as_object_mut().unwrap();
                let declared = object["metadata"][map].as_object().unwrap();
                entries.retain(|key, value| declared.contains_key(key) || old[map][key] != *value);
                entries.extend(declared.clone());
            }
            new["status"] = live["status"].clone();
            if new["kind"] == "Service" {
                new["spec"]["clusterIP"] = live["spec"]["clusterIP"].clone();
            }
            let path = format!("{}?fieldManager={MANAGER}", test.path(&plural, &name));
            test.call("PUT", &path, Some(&new)).await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Takes the lease, or gives it back.
    async fn lease(&self, holder: &str) {
        let renewed = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
        let duration = if holder.is_empty() { 1 } else { 15 };
        let spec = json!({"holderIdentity": holder, "leaseDurationSeconds": duration, "acquireTime": renewed,
            "renewTime": renewed, "leaseTransitions": 1});
        let test = self.test;
        if test.get(LEASES, MANAGER).await.is_none() {
            let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": MANAGER}, "spec": spec});
            test.create(LEASES, &lease).await;
        }
        test.merge(LEASES, MANAGER, MANAGER, &json!({ "spec": spec })).await;
    }

    async fn holder(&self) -> String {
        text(&self.test.get(LEASES, MANAGER).await.unwrap(), "/spec/holderIdentity")
    }

    /// It reads the inventory as its own.
    async fn reads_inventory(&self) {
        let references = self.test.get("managedresources", "mr").await.unwrap()["status"]["resources"].clone();
        let expected: Vec<Value> = self.desired().await.into_iter().map(|(_, reference)| reference).collect();
        for (found, expected) in references.as_array().unwrap().iter().zip(&expected) {
            for field in ["apiVersion", "kind", "namespace", "name", "labels", "annotations"] {
                assert_eq!(found[field], expected[field], "it reads the inventory as its own: {found}");
            }
        }
    }
}

/// What must not move: uids of everything, generations and templates of workloads.
async fn state(test: &Test) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for resource in ["configmaps", "services", "deployments", "replicasets", "pods", "managedresources"] {
        for object in test.list(resource).await {
            let metadata = &object["metadata"];
            if metadata["name"] == "kube-root-ca.crt" {
                continue;
            }
            let finalizers = &metadata["finalizers"];
            let content = [
                &metadata["uid"],
                &metadata["generation"],
                finalizers,
                &object["spec"]["template"],
                &object["spec"]["clusterIP"],
            ];
            found.insert(format!("{resource} {}", text(&object, "/metadata/name")), json!(content));
        }
    }
    found
}

fn manifests(test: &Test, labels: &str) -> String {
    let labelled = format!("metadata:\n  labels: {labels}\n");
    let service = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: {}}}, spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}}}\n---\n",
        test.ns
    );
    [test.config_map("a", "one").replace("metadata:\n", &labelled), test.deployment("web"), service].concat()
}

/// The state when the workload has its pods.
async fn with_pods(test: &Test) -> BTreeMap<String, Value> {
    test.eventually("the pods of the workload", || async {
        let state = state(test).await;
        if state.keys().filter(|name| name.starts_with("pods ")).count() == 2 {
            Ok(state)
        } else {
            Err(format!("{state:?}"))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_again() {
    let cluster = Cluster::bare().await;
    cluster.define().await.unwrap();
    let test = Test::on(Arc::new(cluster), "migration").await;
    let account = Account::create(&test, "controller").await;
    let lease = format!("--lease-namespace={}", test.ns);
    let replica = Replica::direct(&test.cluster, "migration", &account.token, "resources").in_namespace(&test.ns);
    let replica = replica.with(&["--leader-elect=true", &lease]);
    test.eventually("the default service account", || async {
        test.try_get("serviceaccounts", "default").await?.map(|_| ()).ok_or("it is not there".to_owned())
    })
    .await;

    // The original rules, over its own definition.
    put_definition(&test, &foreign_definition()).await;
    let original = Original { test: &test };
    let manifests = |labels: &str| manifests(&test, labels);
    test.declare("mr", &manifests("{older: x, old: x, kept: x}")).write().await;
    original.lease("original").await;
    original.reconcile().await;
    original.reconcile().await;
    let before = with_pods(&test).await;

    // We come, and wait for it to go.
    put_definition(&test, &holdfast_core::api::custom_resource_definition()).await;
    test.secret("mr", &manifests("{old: x, kept: x}")).await;
    replica.start();
    for _ in 0..6 {
        original.lease("original").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let protection = PROTECTION;
    test.has("configmaps", "a", protection, Value::Null).await;
    assert_eq!(state(&test).await, before);
    original.lease("").await;
    test.has("deployments", "web", protection, "deny").await;
    test.has("configmaps", "a", protection, "deny").await;
    test.has("managedresources", "mr", "/status/resources/0/source", "mr/objects.yaml").await;
    test.applied("mr").await;
    assert_eq!(state(&test).await, before, "taken over in place");
    // What the original had applied and is not declared any more is gone, and what is dropped later goes as well.

    let now = test.get("configmaps", "a").await.unwrap()["metadata"]["labels"].clone();
    assert_eq!((&now["older"], &now["old"], &now["kept"]), (&Value::Null, &json!("x"), &json!("x")), "{now}");
    test.redeclare("mr", &manifests("{kept: x}")).await;
    test.has("configmaps", "a", "/metadata/labels/old", Value::Null).await;
    test.has("configmaps", "a", "/metadata/labels/kept", "x").await;
    assert_eq!(state(&test).await, before);

    // We go, and it comes back with its definition.
    replica.signal(Signal::TERM);
    replica.ended().await;
    assert_eq!(original.holder().await, "", "the lease is free");
    put_definition(&test, &foreign_definition()).await;
    original.reads_inventory().await;
    original.lease("original").await;
    original.reconcile().await;
    original.reconcile().await;
    assert_eq!(state(&test).await, before, "given back in place");
    test.has("configmaps", "a", "/metadata/labels/kept", "x").await;
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["conditions"].as_array().unwrap().len(), 3, "{mr}");

    // And once more, over its definition.
    original.lease("").await;
    replica.start();
    test.redeclare("mr", &manifests("{kept: again}")).await;
    test.has("configmaps", "a", "/metadata/labels/kept", "again").await;
    assert_eq!(state(&test).await, before);
    assert!(test.events("Pruned").await.is_empty());
}
