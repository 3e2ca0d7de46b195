//! The life of a ManagedResource in acts, and what must be true in each of them, whatever befalls the controller.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_testing::Definition;
use serde_json::{Value, json};

use crate::harness::{Cluster, PROTECTION, Test, text};

/// Kind and name.
type Key = (&'static str, &'static str);

/// Objects of the first act: a kind, a name, and the value that they have at [`pointer`].
const FIRST: [(Key, &str); 5] = [
    (("ConfigMap", "stays"), "one"),
    (("ConfigMap", "taken"), "ours"),
    (("ConfigMap", "goes"), "one"),
    (("Service", "goes"), "one"),
    (("Deployment", "web"), "one"),
];
/// Of the second: one is changed, one is new, two are gone.
const SECOND: [(Key, &str); 4] = [
    (("ConfigMap", "stays"), "two"),
    (("ConfigMap", "taken"), "ours"),
    (("ConfigMap", "new"), "one"),
    (("Deployment", "web"), "one"),
];
/// A kind and an object of it: apart from the others, because kinds cost the API server much.
const KIND: [(Key, &str); 2] = [(("CustomResourceDefinition", "things"), "Thing"), (("Thing", "thing"), "one")];
/// Not declared any more in the second act.
const PRUNED: [Key; 2] = [("ConfigMap", "goes"), ("Service", "goes")];
const MR: &str = "mr";

/// What can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Play {
    /// Objects are created, changed, pruned, taken over, deleted.
    Life,
    /// A kind and an object of it are created and deleted.
    Kind,
}

/// Every object that there may be.
fn everything() -> impl Iterator<Item = Key> {
    FIRST.into_iter().chain(SECOND).chain(KIND).map(|(key, _)| key).collect::<BTreeSet<Key>>().into_iter()
}

/// One performance, in a namespace of its own.
pub struct Scenario {
    pub test: Test,
    class: String,
    /// As first seen. Nothing is ever created anew.
    uids: Mutex<BTreeMap<Key, String>>,
    /// What has to be there from now on.
    living: Mutex<BTreeSet<Key>>,
}

impl Scenario {
    pub async fn new(cluster: &Arc<Cluster>, class: &str) -> Self {
        let test = Test::on(Arc::clone(cluster), class).await;
        Self { test, class: class.to_owned(), uids: Mutex::default(), living: Mutex::default() }
    }

    /// All acts of a play, each to its end.
    pub async fn play(&self, play: Play) {
        match play {
            Play::Life => {
                self.create().await;
                self.change().await;
                self.take_over().await;
            }
            Play::Kind => self.create_kind().await,
        }
        self.delete().await;
    }

    /// A kind, and an object of it.
    pub async fn create_kind(&self) {
        self.test.declare(MR, &self.manifests(&KIND)).class(&self.class).write().await;
        self.converges(&KIND).await;
    }

    /// Objects of several kinds. One exists already, and has fields that nobody declares.
    pub async fn create(&self) {
        let theirs = json!({"metadata": {"name": "taken"}, "data": {"k": "theirs", "extra": "x"}});
        self.test.create("configmaps", &theirs).await;
        self.test.secret(MR, &self.manifests(&FIRST)).await;
        self.lives(&[(("ConfigMap", "taken"), "")]).await;
        self.test.mr(MR, &[MR], json!({"class": self.class})).await;
        self.converges(&FIRST).await;
    }

    /// One object changes, one is new, two are pruned.
    pub async fn change(&self) {
        self.living.lock().unwrap().retain(|key| !PRUNED.contains(key));
        self.test.secret(MR, &self.manifests(&SECOND)).await;
        self.converges(&SECOND).await;
    }

    /// Somebody adds a field, which is taken over and removed, and that is written down.
    pub async fn take_over(&self) {
        let digest = || async {
            let resources = self.inventory().await?;
            let taken = resources.iter().find(|reference| key_of(reference) == ("ConfigMap".into(), "taken".into()));
            Ok::<_, String>(taken.ok_or("it is not in the inventory")?["state"].clone())
        };
        // Times in managedFields are whole seconds: a repair within the second of the last apply looks like it, and is not
        // written down.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let before = digest().await.unwrap();
        let edit =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken"}, "data": {"spy": "x"}});
        self.test.try_apply("configmaps", &edit).await.unwrap();
        self.converges(&SECOND).await;
        self.test
            .eventually("the repair to be written down", || async {
                if digest().await? == before { Err("the inventory has the old digest") } else { Ok(()) }
                    .map_err(Into::into)
            })
            .await;
    }

    pub async fn delete(&self) {
        self.living.lock().unwrap().clear();
        self.test.delete("managedresources", MR).await;
        self.test.gone("managedresources", MR).await;
        for key in everything() {
            let remaining = self.object(key).await.unwrap();
            assert!(
                remaining.is_none(),
                "{}: {key:?} is left when the ManagedResource is gone: {remaining:?}",
                self.test.ns
            );
        }
    }

    /// What must hold at every moment: nothing has our marks that is in no inventory, nothing was deleted that is to stay,
    /// nothing was created anew. Exact while no controller is at work.
    pub async fn check(&self) {
        let ns = &self.test.ns;
        let mut marked = Vec::new();
        for key in everything() {
            let object = self.object(key).await.unwrap();
            if let Some(object) = &object {
                let uid = text(object, "/metadata/uid");
                let mut uids = self.uids.lock().unwrap();
                let first = uids.entry(key).or_insert_with(|| uid.clone());
                assert_eq!(*first, uid, "{ns}: {key:?} was deleted and created anew");
                if has_ownership_metadata(object) {
                    marked.push(key);
                }
            }
            let must_live = self.living.lock().unwrap().contains(&key);
            assert!(object.is_some() || !must_live, "{ns}: {key:?} was deleted");
        }
        let inventory: Vec<(String, String)> = match self.inventory().await {
            Ok(references) => references.iter().map(|reference| self.local(key_of(reference))).collect(),
            Err(_) => Vec::new(),
        };
        for key in marked {
            let is_listed = inventory.contains(&(key.0.to_owned(), key.1.to_owned()));
            assert!(is_listed, "{ns}: {key:?} is leaked: the inventory is {inventory:?}");
        }
    }

    /// Waits until exactly these objects are held.
    async fn converges(&self, expected: &[(Key, &'static str)]) {
        let what = format!("{} to converge", self.test.ns);
        self.test
            .eventually(&what, || async {
                let converged = self.has_converged(expected).await;
                if converged.is_err() {
                    // Many look at the same time, and what they wait for is not measured.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                converged
            })
            .await;
        self.lives(expected).await;
    }

    async fn has_converged(&self, expected: &[(Key, &'static str)]) -> Result<(), String> {
        let mr = self.test.try_get("managedresources", MR).await?.ok_or("there is no ManagedResource")?;
        let conditions = mr.pointer("/status/conditions").and_then(Value::as_array);
        let applied = conditions.into_iter().flatten().find(|condition| condition["type"] == "ResourcesApplied");
        let applied = applied.cloned().unwrap_or_default();
        if applied["reason"] != "ApplySucceeded" || applied["status"] != "True" {
            return Err(applied.to_string());
        }
        let mut managed: Vec<(String, String)> =
            references(&mr).iter().map(|reference| self.local(key_of(reference))).collect();
        managed.sort();
        let mut all: Vec<(String, String)> =
            expected.iter().map(|((kind, name), _)| ((*kind).into(), (*name).into())).collect();
        all.sort();
        if managed != all {
            return Err(format!("the inventory is {managed:?}"));
        }
        for (key, value) in expected {
            let object = self.object(*key).await?.ok_or_else(|| format!("{key:?} is not there"))?;
            let found = object.pointer(pointer(key.0)).cloned().unwrap_or_default();
            let desired = if key.0 == "ConfigMap" { json!({"k": value}) } else { json!(value) };
            if found != desired || !has_ownership_metadata(&object) {
                return Err(format!("{key:?} is {object}"));
            }
        }
        for key in PRUNED.iter().filter(|key| !expected.iter().any(|(desired, _)| desired == *key)) {
            if self.object(*key).await?.is_some() {
                return Err(format!("{key:?} is still there"));
            }
        }
        Ok(())
    }

    /// From now on these must be there; and all else must be in order.
    async fn lives(&self, objects: &[(Key, &'static str)]) {
        self.living.lock().unwrap().extend(objects.iter().map(|(key, _)| *key));
        self.check().await;
    }

    async fn inventory(&self) -> Result<Vec<Value>, String> {
        let mr = self.test.try_get("managedresources", MR).await?.ok_or("there is no ManagedResource")?;
        Ok(references(&mr))
    }

    async fn object(&self, key: Key) -> Result<Option<Value>, String> {
        let group = self.group();
        match key.0 {
            "CustomResourceDefinition" => {
                self.test.try_get("customresourcedefinitions", &format!("{}.{group}", key.1)).await
            }
            "Thing" => self.test.try_get(&format!("{group}/v1/things"), key.1).await,
            "ConfigMap" => self.test.try_get("configmaps", key.1).await,
            "Service" => self.test.try_get("services", key.1).await,
            _ => self.test.try_get("deployments", key.1).await,
        }
    }

    /// Of the custom resources: cluster-wide, so one for each performance.
    fn group(&self) -> String {
        format!("{}.example.com", self.test.ns)
    }

    /// Without what differs between performances.
    fn local(&self, (kind, name): (String, String)) -> (String, String) {
        let suffix = format!(".{}", self.group());
        (kind, name.strip_suffix(&suffix).map(ToOwned::to_owned).unwrap_or(name))
    }

    fn manifests(&self, objects: &[(Key, &str)]) -> String {
        let (ns, group) = (&self.test.ns, self.group());
        let manifest = |((kind, name), value): &(Key, &str)| match *kind {
            "CustomResourceDefinition" => {
                Definition::new(&group, value).spec(&json!({"k": {"type": "string"}})).object()
            }
            "Thing" => json!({
                "apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": name, "namespace": ns}, "spec": {"k": value},
            }),
            "ConfigMap" => json!({
                "apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": ns}, "data": {"k": value},
            }),
            "Service" => json!({
                "apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": ns},
                "spec": {"selector": {"app": value}, "ports": [{"port": 80}]},
            }),
            _ => json!({
                "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": ns},
                "spec": {"replicas": 0, "selector": {"matchLabels": {"app": value}}, "template": {
                    "metadata": {"labels": {"app": value}}, "spec": {"containers": [{"name": "main", "image": "nginx"}]},
                }},
            }),
        };
        objects.iter().map(|object| manifest(object).to_string()).collect::<Vec<_>>().join("\n---\n")
    }
}

/// Where the value of an object lies.
fn pointer(kind: &str) -> &'static str {
    match kind {
        "CustomResourceDefinition" => "/spec/names/kind",
        "Thing" => "/spec/k",
        "ConfigMap" => "/data",
        "Service" => "/spec/selector/app",
        _ => "/spec/selector/matchLabels/app",
    }
}

/// The inventory: what is held, and what is about to be created.
fn references(mr: &Value) -> Vec<Value> {
    let list = |pointer: &str| mr.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let pending = list("/status/pending").into_iter().map(|text| {
        let parts: Vec<_> = text.as_str().unwrap_or_default().rsplit('/').take(3).collect();
        json!({"kind": parts[2], "namespace": parts[1], "name": parts[0]})
    });
    list("/status/resources").into_iter().chain(pending).collect()
}

fn key_of(reference: &Value) -> (String, String) {
    (text(reference, "/kind"), text(reference, "/name"))
}

fn has_ownership_metadata(object: &Value) -> bool {
    let has = |pointer: &str| object.pointer(pointer).is_some();
    has(PROTECTION) || has("/metadata/annotations/resources.gardener.cloud~1origin")
}
