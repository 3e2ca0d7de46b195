//! Two controllers of two classes: one lets go of a ManagedResource before the other takes hold of it.
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Account, Cluster, IGNORE, Manifest as _, OUR_FINALIZER, Replica, Test, nothing_happens_for};

const OPERATION: &str = "gardener.cloud/operation";

/// Controllers of two classes, which do not run yet.
struct Two {
    controllers: [(Replica, String); 2],
    test: Test,
}

impl Two {
    async fn set(topic: &str) -> Self {
        let test = Test::on(Cluster::shared_bare().await, topic).await;
        let account = Account::create(&test, "controller").await;
        let controllers = ["one", "two"].map(|name| {
            let class = format!("{}-{name}", test.ns);
            let replica = Replica::direct(&test.cluster, &class, &account.token, &class).in_namespace(&test.ns);
            (replica.with(&["--pending-period=500ms"]), class)
        });
        Self { controllers, test }
    }

    fn start(&self, number: usize) {
        self.controllers[number].0.start();
    }

    async fn of_class(&self, number: usize, spec: Value) {
        let mut spec = spec;
        spec["class"] = self.controllers[number].1.clone().into();
        self.test.mr("mr", &["mr"], spec).await;
    }

    /// The first of them holds these objects.
    async fn declare_for_first(&self, manifests: &str, spec: Value) {
        self.test.secret("mr", manifests).await;
        self.of_class(0, spec).await;
        self.managed_by(0).await;
    }

    fn finalizer(&self, number: usize) -> String {
        format!("{OUR_FINALIZER}-{}", self.controllers[number].1)
    }

    async fn managed_by(&self, number: usize) {
        self.test.has("managedresources", "mr", "/metadata/finalizers", json!([self.finalizer(number)])).await;
        self.test.applied("mr").await;
    }
}

async fn annotate(test: &Test, key: &str, value: Value) {
    test.merge("managedresources", "mr", "e2e", &json!({"metadata": {"annotations": {key: value}}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_go_with_the_old_class_and_come_with_the_new_one() {
    let two = Two::set("class").await;
    let test = &two.test;
    two.start(0);
    two.declare_for_first(&[test.config_map("a", "one"), test.config_map("b", "one")].concat(), json!({})).await;
    let uid = test.uid("configmaps", "a").await;
    assert_eq!(test.events("Conflict").await.len(), 0);

    // Nobody of the new class is there yet.
    two.of_class(1, json!({})).await;
    test.gone("configmaps", "a").await;
    test.has("managedresources", "mr", "/metadata/finalizers", Value::Null).await;
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 2, "the inventory is left to the next: {mr}");
    assert_eq!(mr["metadata"]["deletionTimestamp"], Value::Null);

    test.secret("mr", &test.config_map("a", "two")).await;
    two.start(1);
    two.managed_by(1).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    assert_ne!(test.uid("configmaps", "a").await, uid);
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 1, "{mr}");
    // What the first one said on its way out does not stay.
    let conditions = mr["status"]["conditions"].to_string();
    assert!(!conditions.contains("DeletionPending"), "{conditions}");
    // The first one is out of it: it neither repairs nor interferes.
    test.merge("configmaps", "a", "kubectl", &json!({"data": {"k": "x"}})).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.delete("managedresources", "mr").await;
    test.gone("managedresources", "mr").await;
    assert!(test.get("configmaps", "a").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_class_waits_until_the_old_one_has_let_go() {
    let two = Two::set("class").await;
    let test = &two.test;
    two.start(0);
    two.start(1);
    let managed = test.config_map("held", "one").with_metadata("finalizers: [example.com/hold]");
    two.declare_for_first(&managed, json!({})).await;

    test.secret("mr", &test.config_map("a", "two")).await;
    two.of_class(1, json!({})).await;
    test.message("mr", "DeletionPending", &["Could not clean all old resources", "/held"]).await;
    // Longer than any trigger takes.
    nothing_happens_for(Duration::from_secs(2), "the new class begins").await;
    assert!(test.get("configmaps", "a").await.is_none(), "two controllers work on it at a time");
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["metadata"]["finalizers"], json!([two.finalizer(0)]));

    test.merge("configmaps", "held", "e2e", &json!({"metadata": {"finalizers": null}})).await;
    two.managed_by(1).await;
    test.has("configmaps", "a", "/data/k", "two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_to_be_kept_are_taken_over_as_they_are() {
    let two = Two::set("class").await;
    let test = &two.test;
    two.start(0);
    two.start(1);
    two.declare_for_first(
        &[test.config_map("a", "one"), test.config_map("b", "one"), test.deployment("web")].concat(),
        json!({"keepObjects": true}),
    )
    .await;
    let before = [test.uid("configmaps", "a").await, test.uid("configmaps", "b").await];
    let web = test.get("deployments", "web").await.unwrap();

    two.of_class(1, json!({"keepObjects": true})).await;
    two.managed_by(1).await;
    let now = test.get("deployments", "web").await.unwrap();
    for field in ["uid", "generation"] {
        assert_eq!(now["metadata"][field], web["metadata"][field], "{field}");
    }
    // The inventory was taken over: what is dropped now is deleted.
    test.redeclare("mr", &[test.config_map("a", "two"), test.deployment("web")].concat()).await;
    test.gone("configmaps", "b").await;
    test.has("configmaps", "a", "/data/k", "two").await;
    assert_eq!(test.uid("configmaps", "a").await, before[0]);
    assert_eq!(test.events("NotOurs").await, Vec::<String>::new());
}

/// They may be of different clusters, where the same names are different objects.
#[tokio::test(flavor = "multi_thread")]
async fn classes_do_not_claim_against_each_other() {
    let two = Two::set("class").await;
    let test = &two.test;
    two.start(0);
    two.start(1);
    two.declare_for_first(&test.config_map("a", "one"), json!({})).await;
    test.declare("other", &test.config_map("b", "one")).class(&two.controllers[1].1).await;
    // In one cluster this is a mistake; who has the object is not known across classes.
    test.secret("other", &[test.config_map("a", "one"), test.config_map("b", "two")].concat()).await;
    test.has("configmaps", "b", "/data/k", "two").await;
    let mr = test.get("managedresources", "other").await.unwrap();
    assert!(!mr["status"]["conditions"].to_string().contains("is held by"), "{mr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_up_a_hand_over() {
    let two = Two::set("class").await;
    let test = &two.test;
    two.start(0);
    two.start(1);
    two.declare_for_first(&test.config_map("a", "one"), json!({})).await;
    let uid = test.uid("configmaps", "a").await;
    annotate(test, IGNORE, json!("true")).await;
    test.reason("mr", "ManagedResourceIgnored").await;
    two.of_class(1, json!({})).await;
    nothing_happens_for(Duration::from_secs(2), "the new class begins").await;
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["metadata"]["finalizers"], json!([two.finalizer(0)]));
    assert_eq!(test.uid("configmaps", "a").await, uid);
    annotate(test, IGNORE, Value::Null).await;
    two.managed_by(1).await;
    assert_ne!(test.uid("configmaps", "a").await, uid);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_state_stops_everything_even_a_deletion() {
    let two = Two::set("waits").await;
    let test = &two.test;
    two.start(0);
    two.declare_for_first(&test.config_map("a", "one"), json!({})).await;
    annotate(test, OPERATION, json!("wait-for-state")).await;
    // The controller learns of both by watches.
    tokio::time::sleep(Duration::from_secs(1)).await;
    test.secret("mr", &[test.config_map("a", "two"), test.config_map("b", "two")].concat()).await;
    test.merge("configmaps", "a", "kubectl", &json!({"data": {"k": "mine"}})).await;
    nothing_happens_for(Duration::from_secs(2), "anything is written").await;
    test.has("configmaps", "a", "/data/k", "mine").await;
    assert!(test.get("configmaps", "b").await.is_none());

    // Nobody else is held up: others still prune.
    test.declare("other", &[test.config_map("c", "one"), test.config_map("d", "one")].concat())
        .class(&two.controllers[0].1)
        .await;
    test.redeclare("other", &test.config_map("c", "one")).await;
    test.gone("configmaps", "d").await;

    test.delete("managedresources", "mr").await;
    nothing_happens_for(Duration::from_secs(2), "the deletion begins").await;
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert!(mr["metadata"]["deletionTimestamp"].is_string(), "{mr}");
    assert_eq!(mr["metadata"]["annotations"][OPERATION], "wait-for-state", "it is not taken off");
    assert!(test.get("configmaps", "a").await.is_some());
    annotate(test, OPERATION, Value::Null).await;
    test.gone("managedresources", "mr").await;
    assert!(test.get("configmaps", "a").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_operations_are_left_where_they_are() {
    let two = Two::set("operation").await;
    let test = &two.test;
    two.start(0);
    two.declare_for_first(&test.config_map("a", "one"), json!({})).await;
    for operation in ["restore", "migrate"] {
        annotate(test, OPERATION, json!(operation)).await;
        test.redeclare("mr", &test.config_map("a", operation)).await;
        test.has("configmaps", "a", "/data/k", operation).await;
        let mr = test.get("managedresources", "mr").await.unwrap();
        assert_eq!(mr["metadata"]["annotations"][OPERATION], operation);
        let conditions = mr["status"]["conditions"].to_string();
        assert!(!conditions.contains(OPERATION), "they are known: {conditions}");
    }
    annotate(test, OPERATION, json!("reconcile")).await;
    test.has("managedresources", "mr", "/metadata/annotations", Value::Null).await;
}
