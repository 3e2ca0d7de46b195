//! What the first version had in a cluster, as it was recorded, under the present programs.
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use holdfast_e2e::{cache, install};
use serde_json::{Value, json};

use crate::harness::{Cluster, PROTECTION, SYSTEM, Test, may, nothing_happens_for, printed, text};
use restore::{People, Restored, name, resource};

/// What has to be written: what somebody changed, deleted or dropped while nothing of ours ran.
const TO_DO: [(&str, &str); 3] = [("drifted", "patch"), ("leftover", "delete"), ("lost", "patch")];
/// What is written once more, because the rules for it are others now: an empty `data` is not declared any more, and what is
/// in the Secret of a token is left to the control plane. Nothing of their content changes.
const RULES: [(&str, &str); 2] = [("empty", "patch"), ("token", "patch")];
/// ManagedResources whose inventories say something new: an object less, other owners of fields that were to be put right, and
/// of fields that are left to others (looked at once more after each start), and what was written because of [`RULES`].
const NEWS: [&str; 4] = ["trimmed", "drifted", "special", "tokens"];
/// What stays when all ManagedResources are deleted.
const RETAINED: [&str; 3] = ["kept", "moved", "stubborn"];
/// Afterwards nothing happens any more.
const REST: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_version_left_is_taken_over_without_a_write() {
    let cluster = Arc::new(Cluster::bare().await);
    let people = People {
        home: Test::within(Arc::clone(&cluster), "recorded"),
        inner: Test::within(Arc::clone(&cluster), "recorded-inner"),
        system: Test::within(Arc::clone(&cluster), SYSTEM),
    };
    restore::homes(&people.home).await;
    // The first version's definition and webhook configurations, and nobody who works.
    let chart = cache::workspace().join(install::OLD_CHART).display().to_string();
    let nobody = "image.tag=dev,controller.replicas=0,webhook.replicas=0";
    people.system.admin.helm(&["install", install::RELEASE, &chart, "--set", nobody]).await.success().unwrap();
    let restored = restore::restore(&people).await;
    for (name, replicas) in [("web", 2), ("free", 3), ("scaled", 2)] {
        people.home.has("deployments", name, "/status/unavailableReplicas", replicas).await;
    }

    let before = Snapshot::take(&people, &restored).await;
    let mut writes = people.home.writes();
    install::upgrade(&cluster.control_plane, &cluster.player, &[]).await.unwrap();
    people.home.has("configmaps", "drifted", "/data", json!({"text": "drifted"})).await;
    people.home.has("configmaps", "lost", "/data", json!({"text": "lost"})).await;
    people.home.gone("configmaps", "leftover").await;
    nothing_happens_for(REST, "anything else is written").await;
    let mut written: BTreeSet<_> = writes.more().into_iter().map(|request| (request.name, request.verb)).collect();
    // It has its mark already, which who has just started may not have heard yet.
    written.remove(&("paused".to_owned(), "patch".to_owned()));
    let expected = TO_DO.iter().chain(&RULES).map(|(name, verb)| ((*name).to_owned(), (*verb).to_owned()));
    assert_eq!(written, expected.collect());
    let after = Snapshot::take(&people, &restored).await;
    before.must_be(&after);
    // The key of the digests was made by the first version, too, and goes with the release from now on.
    people.system.has("secrets", "holdfast-digest-key", "/metadata/ownerReferences/0/kind", "ServiceAccount").await;

    conditions_stay(&people, &restored).await;
    the_pause_holds(&people.home).await;
    edits_are_refused(&people, &restored).await;
    everything_goes(&people, &restored).await;
}

/// All objects and ManagedResources but those of [`TO_DO`] and [`NEWS`], less what the control plane writes into them, and ReplicaSets.
struct Snapshot(BTreeMap<String, Value>);

impl Snapshot {
    async fn take(people: &People, restored: &Restored) -> Self {
        let mut all = BTreeMap::new();
        for object in restored.objects.iter().chain(&restored.managed_resources) {
            let (kind, name) = (text(object, "/kind"), name(object));
            let is_changed = if kind == "ManagedResource" {
                NEWS.contains(&name.as_str())
            } else {
                TO_DO.iter().any(|(changed, _)| *changed == name)
            };
            if !is_changed {
                all.insert(format!("{kind} {name}"), comparable(people.present(object).await));
            }
        }
        for set in people.home.list("replicasets").await {
            all.insert(format!("ReplicaSet {}", name(&set)), comparable(set));
        }
        Self(all)
    }

    fn must_be(&self, other: &Self) {
        assert_eq!(self.0.keys().collect::<Vec<_>>(), other.0.keys().collect::<Vec<_>>());
        for (name, object) in &self.0 {
            assert_eq!(*object, other.0[name], "{name} was written");
        }
    }
}

/// Without what others write by right. ManagedResources are compared whole: nobody but we writes their status.
fn comparable(mut object: Value) -> Value {
    let is_of_control_plane =
        object["apiVersion"] != "resources.gardener.cloud/v1alpha1" && object["status"].is_object();
    if is_of_control_plane {
        object["status"].take();
        object["metadata"]["resourceVersion"].take();
        let entries = object["metadata"]["managedFields"].as_array_mut().unwrap();
        entries.retain(|entry| entry["subresource"].is_null());
    }
    // It does not say any more that we own its data, of which there is none.
    if object["kind"] == "Secret" && object["metadata"]["name"] == "empty" {
        object["metadata"]["resourceVersion"].take();
        object["metadata"]["managedFields"].take();
    }
    // The first version kept no count of the pauses that last. A status that lacks it is written once more.
    if object["kind"] == "ManagedResource" && object["metadata"]["name"] == "paused" {
        object["status"].as_object_mut().unwrap().remove("activePauses");
        object["metadata"]["resourceVersion"].take();
        object["metadata"]["managedFields"].take();
    }
    object
}

async fn conditions_stay(people: &People, restored: &Restored) {
    for mr in &restored.managed_resources {
        let now = people.present(mr).await;
        let conditions = now["status"]["conditions"].as_array().unwrap();
        let applied = conditions.iter().find(|condition| condition["type"] == "ResourcesApplied").unwrap();
        assert_eq!((&applied["status"], &applied["reason"]), (&json!("True"), &json!("ApplySucceeded")), "{now}");
        assert_eq!(now["status"]["observedGeneration"], mr["status"]["observedGeneration"], "{}", name(mr));
    }
    for (name, count) in [("trimmed", 1), ("drifted", 2), ("special", 3), ("tokens", 3)] {
        let mr = people.home.get("managedresources", name).await.unwrap();
        assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), count, "{mr}");
    }
}

async fn the_pause_holds(test: &Test) {
    test.has("configmaps", "paused", "/data/text", "changed in an emergency").await;
    let edit = ["patch", "configmap", "paused", "--type=merge", "--patch", r#"{"data":{"text":"once more"}}"#];
    let output = test.alice.with(&edit).await;
    assert!(output.status.success() && printed(&output).contains("is paused until"), "{}", printed(&output));
    nothing_happens_for(REST, "the paused object is repaired").await;
    test.has("configmaps", "paused", "/data/text", "once more").await;
    test.has("configmaps", "paused", PROTECTION, "off").await;
}

async fn edits_are_refused(people: &People, restored: &Restored) {
    let mut refused = 0;
    for object in &restored.objects {
        let mode = text(object, PROTECTION);
        if name(object) == "leftover" || !["deny", "revert"].contains(&mode.as_str()) {
            continue;
        }
        let (test, kubectl_name) = (people.of(object), kubectl_name(object));
        test.alice.is_refused(&["delete", &kubectl_name, "--wait=false"], &["is managed by"]).await;
        let edit = ["annotate", &kubectl_name, "resources.gardener.cloud/origin-"];
        if mode == "deny" {
            test.alice.is_refused(&edit, &["is managed by"]).await;
        } else {
            may(test, &edit).await;
            test.has(
                resource(object),
                &name(object),
                "/metadata/annotations",
                object["metadata"]["annotations"].clone(),
            )
            .await;
        }
        refused += 1;
    }
    assert_eq!(refused, 29, "protected objects");
    people.home.alice.is_refused(&["set", "image", "deployment/web", "main=other"], &["is managed by"]).await;
    // What is left to others still is.
    may(&people.home, &["scale", "deployment/free", "--replicas=4"]).await;
    for (name, field) in [("ensured", "text"), ("once", "text"), ("partly", "free")] {
        let patch = json!({"data": {field: "again"}}).to_string();
        may(&people.home, &["patch", "configmap", name, "--type=merge", "--patch", &patch]).await;
        people.home.has("configmaps", name, &format!("/data/{field}"), "again").await;
    }
}

/// Such as `deployment.apps/web`.
fn kubectl_name(object: &Value) -> String {
    let api_version = text(object, "/apiVersion");
    let group = api_version.split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
    format!("{}{group}/{}", text(object, "/kind").to_lowercase(), name(object))
}

async fn everything_goes(people: &People, restored: &Restored) {
    people.home.alice.does("delete managedresources --all --timeout=45s").await;
    for object in &restored.objects {
        if RETAINED.contains(&name(object).as_str()) {
            let live = people.present(object).await;
            assert!(live["metadata"]["deletionTimestamp"].is_null(), "{live}");
        } else {
            // The kind of Widgets goes, and Namespaces end by themselves.
            people.of(object).gone(resource(object), &name(object)).await;
        }
    }
    people.home.gone("configmaps", "lost").await;
}
