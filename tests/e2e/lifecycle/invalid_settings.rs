//! Mistakes in settings and manifests, and much of everything: each is said where it is, and harms nothing else.
use holdfast_e2e::audit::{AuditLog, Request};
use holdfast_e2e::fault_proxy::{Fault, FaultProxy, Rule};
use holdfast_testing::Definition;
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, Replica, Test, nothing_happens_for, reported};

/// A controller without a webhook in front, which would refuse what these tests are about.
struct Alone {
    replica: Replica,
    account: Account,
    test: Test,
}

impl Alone {
    async fn start(topic: &str) -> Self {
        let test = Test::on(Cluster::shared_bare().await, topic).await;
        let account = Account::create(&test, "controller").await;
        let replica = Replica::direct(&test.cluster, &test.ns, &account.token, &test.ns).in_namespace(&test.ns);
        replica.start();
        Self { replica, account, test }
    }

    async fn mr(&self, name: &str, secrets: &[&str], mut spec: Value) {
        spec["class"] = self.test.ns.clone().into();
        self.test.mr(name, secrets, spec).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_without_effect_are_named_and_do_no_harm() {
    let alone = Alone::start("mistakes").await;
    let test = &alone.test;
    let annotated = |name: &str, annotation: &str| {
        let annotation = format!("metadata:\n  annotations: {{resources.gardener.cloud/{annotation}}}\n");
        test.config_map(name, "one").replace("metadata:\n", &annotation)
    };
    let manifests = [
        annotated("a", "finalize-deletion-after: soonish"),
        annotated("b", "keep-object: hunter2"),
        test.config_map("c", "one"),
    ];
    test.secret("mr", &manifests.concat()).await;
    let equivalences = json!([[{"group": "example.com", "kind": "Ghost"}, {"group": "", "kind": "ConfigMap"}]]);
    alone.mr("mr", &["mr", "mr"], json!({"equivalences": equivalences})).await;
    let annotations = json!({"metadata": {"annotations": {"gardener.cloud/operation": "dance"}}});
    test.merge("managedresources", "mr", "e2e", &annotations).await;
    let parts = [
        "All resources are applied.",
        "annotation resources.gardener.cloud/finalize-deletion-after: time: invalid duration",
        "annotation resources.gardener.cloud/keep-object: it is none of true and false",
        "spec.equivalences names Ghost.example.com, which is not served",
        "annotation gardener.cloud/operation is none of reconcile, wait-for-state, restore, migrate",
        "Secret mr is named 2 times in spec.secretRefs",
    ];
    let message = test.message("mr", "ApplySucceeded", &parts).await;
    assert!(!message.contains("hunter2"), "{message}");
    reported(test, "BadSetting", &["keep-object", "Ghost.example.com"]).await;
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 3, "{mr}");

    // A keep-object that means nothing keeps nothing.
    test.redeclare("mr", &test.config_map("c", "two")).await;
    test.gone("configmaps", "b").await;
    // A name that no Secret can have is a missing Secret.
    alone.mr("mr", &["mr", "No such/name"], json!({})).await;
    test.message("mr", "CannotReadSecret", &["\"No such/name\", which is no name that a Secret can have"]).await;
    test.secret("mr", &test.config_map("c", "three")).await;
    test.has("configmaps", "c", "/data/k", "three").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_no_object_could_have_change_nothing() {
    let alone = Alone::start("labels").await;
    let test = &alone.test;
    test.secret("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).await;
    alone.mr("mr", &["mr"], json!({"injectLabels": {"team": "blue"}})).await;
    test.applied("mr").await;
    let before = test.get("configmaps", "a").await.unwrap();
    test.secret("mr", &[test.config_map("a", "two"), test.config_map("c", "one")].concat()).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.gone("configmaps", "b").await;
    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    alone.mr("mr", &["mr"], json!({"injectLabels": {"team": "no blanks"}})).await;
    let words = "spec.injectLabels: the value of team is not valid";
    test.message("mr", "ApplyFailed", &[words]).await;
    reported(test, "ApplyFailed", &[words]).await;
    test.secret("mr", &test.config_map("a", "three")).await;
    nothing_happens_for(std::time::Duration::from_secs(2), "anything is written").await;
    let objects = log.read_of(&alone.account.user).unwrap();
    // The deletion of before may be logged after a watch has told of it.
    let is_of_before = |request: &Request| request.verb == "delete" && request.name == "b";
    let is_new = |request: &&Request| request.is_write() && request.resource == "configmaps" && !is_of_before(request);
    let written: Vec<_> = objects.iter().filter(is_new).collect();
    assert!(written.is_empty(), "nothing is half-done: {written:?}");
    assert_eq!(before["metadata"]["labels"]["team"], "blue");
    assert!(test.get("configmaps", "c").await.is_some(), "and nothing pruned");
    alone.mr("mr", &["mr"], json!({"injectLabels": {"team": "red"}})).await;
    test.applied("mr").await;
    test.has("configmaps", "a", "/metadata/labels/team", "red").await;
    test.gone("configmaps", "c").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_no_object_could_have_are_refused() {
    let test = Test::shared("labels").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let refused = test.try_mr("mr", &["mr"], json!({"injectLabels": {"team": "no blanks"}})).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("spec.injectLabels: the value of team is not valid"), "{error}");
    let remarked = test.alice.with(&["annotate", "managedresource", "mr", "gardener.cloud/operation=dance"]).await;
    let printed = crate::harness::printed(&remarked);
    assert!(remarked.status.success() && printed.contains("gardener.cloud/operation is none of"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_secrets_and_a_large_one_are_read() {
    let test = Test::shared("many").await;
    let names: Vec<String> = (0..300).map(|number| format!("part-{number}")).collect();
    for name in &names {
        test.secret(name, &test.config_map(name, "one")).await;
    }
    // Nearly all of it is a value of one object; the server takes a mebibyte of data.
    let long = "x".repeat(1000 * 1000);
    let large = test.config_map("large", &long);
    test.secret("large", &large).await;
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push("large");
    test.mr("mr", &all, json!({})).await;
    test.applied("mr").await;
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 301);
    let object = test.get("configmaps", "large").await.unwrap();
    assert_eq!(object["data"]["k"].as_str().map(str::len), Some(long.len()));
    test.secret("part-299", &test.config_map("part-299", "two")).await;
    test.has("configmaps", "part-299", "/data/k", "two").await;
    test.alice.does("delete managedresource mr --timeout=120s").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_objects_than_the_status_can_hold_are_refused() {
    let alone = Alone::start("size").await;
    let test = &alone.test;
    let some = |from: usize, to: usize| -> String {
        (from..to).map(|number| test.config_map(&format!("c-{number:05}"), "one")).collect()
    };
    test.secret("mr", &some(0, 3)).await;
    alone.mr("mr", &["mr", "more"], json!({})).await;
    test.reason("mr", "CannotReadSecret").await;
    test.secret("more", &test.config_map("d", "one")).await;
    test.applied("mr").await;

    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    test.secret("mr", &some(1, 5000)).await;
    let parts =
        ["5000 objects are too many: their entries in the status need about ", "1048576 fit", "Declare about 3"];
    let message = test.message("mr", "ApplyFailed", &parts).await;
    reported(test, "ApplyFailed", &parts[..1]).await;
    eprintln!("{message}");
    nothing_happens_for(std::time::Duration::from_secs(2), "anything is written").await;
    let requests = log.read_of(&alone.account.user).unwrap();
    let touched: Vec<_> =
        requests.iter().filter(|request| request.is_write() && request.resource == "configmaps").collect();
    assert!(touched.is_empty(), "{touched:?}");
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 4, "the inventory is as it was");
    // Others are not held up.
    test.secret("other", &[test.config_map("p", "one"), test.config_map("q", "one")].concat()).await;
    alone.mr("other", &["other"], json!({})).await;
    test.applied("other").await;
    test.redeclare("other", &test.config_map("p", "one")).await;
    test.gone("configmaps", "q").await;

    test.redeclare("mr", &some(1, 300)).await;
    test.gone("configmaps", "c-00000").await;
    test.has("configmaps", "c-00299", "/data/k", "one").await;
    assert!(alone.replica.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_may_not_be_read_is_named() {
    let test = Test::on(Cluster::shared_bare().await, "denied").await;
    let account = Account::create(&test, "controller").await;
    let proxy = FaultProxy::start(&test.cluster.control_plane).await.unwrap();
    let replica = Replica::behind(&test.cluster, &test.ns, &proxy, &account.token, &test.ns);
    let replica = replica.in_namespace(&test.ns);
    let denied = Fault::Answer { code: 403, retry_after: None };
    proxy.add(Rule::new(denied, |request| request.method == "GET" && request.path.ends_with("/secrets/mr")));
    replica.start();
    test.declare("mr", &test.config_map("a", "one")).class(&test.ns).write().await;
    test.message("mr", "CannotReadSecret", &["could not read secret 'mr'"]).await;
    proxy.clear();
    test.applied("mr").await;
    test.has("configmaps", "a", "/data/k", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_that_cannot_be_read_harms_nobody() {
    let test = Test::shared("scaler").await;
    let scaler = |name: &str, version: &str, most: Value| {
        json!({
            "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "namespace": test.ns},
            "spec": {"scaleTargetRef": {"apiVersion": version, "kind": "Deployment", "name": "web"}, "maxReplicas": most},
        })
    };
    // Somebody's, with a reference that is none.
    let path = test.path("autoscaling/v1/horizontalpodautoscalers", "");
    let theirs = test.call("POST", &path, Some(&scaler("theirs", "a/b/c", json!(3)))).await;
    // Newer servers do not let it in.
    eprintln!("a reference that is none: {theirs:?}");
    let bad = scaler("bad", "apps/v1", json!("many")).to_string();
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web"), bad].concat()).write().await;
    let place = format!("HorizontalPodAutoscaler.autoscaling {}/bad (Secret mr", test.ns);
    test.message("mr", "ApplyFailed", &[&place]).await;
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
    test.declare("other", &test.config_map("b", "one")).await;
    test.redeclare("mr", &[test.config_map("a", "two"), test.deployment("web")].concat()).await;
    test.has("configmaps", "a", "/data/k", "two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_pass_created_is_not_leaked() {
    let test = Test::shared("leak").await;
    test.declare("mr", &[test.config_map("a", "one"), test.refused_config_map("bad-name", "one")].concat())
        .write()
        .await;
    test.reason("mr", "ApplyFailed").await;
    test.has("configmaps", "a", "/data/k", "one").await;
    // It never was applied without a failure, and is dropped.
    test.redeclare("mr", &test.config_map("b", "one")).await;
    test.gone("configmaps", "a").await;
    test.secret("mr", &[test.config_map("c", "one"), test.refused_config_map("bad-name", "one")].concat()).await;
    test.has("configmaps", "c", "/data/k", "one").await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("configmaps", "c").await.is_none());
}

/// A custom resource may have a field of this name that is something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_none_is_left_alone() {
    let test = Test::shared("template").await;
    let group = format!("{}.example.com", test.ns);
    let definition = Definition::new(&group, "Widget").object();
    let widget = |name: &str, template: Value| {
        json!({"apiVersion": format!("{group}/v1"), "kind": "Widget",
            "metadata": {"name": name, "namespace": test.ns}, "spec": {"template": template}})
    };
    let (line, map) = (json!("a text"), json!({"some": "thing"}));
    let all = [definition, widget("text", line.clone()), widget("map", map.clone())];
    let all: Vec<String> = all.iter().map(Value::to_string).collect();
    test.declare("mr", &all.join("\n---\n")).with("injectLabels", json!({"team": "blue"})).await;
    let path = format!("{group}/v1/widgets");
    test.has(&path, "text", "/spec/template", line).await;
    test.has(&path, "map", "/spec/template", map).await;
    test.has(&path, "map", "/metadata/labels/team", "blue").await;
}
