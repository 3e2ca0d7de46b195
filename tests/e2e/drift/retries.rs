//! Success is said only of what succeeded: with `repair: Resync`, too, what could not be written is tried again until it is,
//! over restarts as well.
use std::time::Duration;

use holdfast_e2e::fault_proxy::{Fault, FaultProxy, Rule};
use holdfast_testing::Definition;
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, Replica, Test, nothing_happens_for};

/// Longer than the first attempts take, which come after 0.2 s, 0.4 s, 0.8 s and so on.
const WATCHED: Duration = Duration::from_secs(3);
const REPLACE: &str = "resources.gardener.cloud/delete-on-invalid-update: 'true'";

/// A namespace with a controller of its own class.
async fn stage(topic: &str) -> (Test, Account, Replica) {
    let test = Test::on(Cluster::shared_bare().await, topic).await;
    let account = Account::create(&test, "controller").await;
    let replica = Replica::direct(&test.cluster, &test.ns, &account.token, &test.ns).in_namespace(&test.ns);
    let replica = replica.with(&["--pending-period=500ms"]);
    replica.start();
    (test, account, replica)
}

async fn ask(test: &Test) {
    test.alice.does("annotate managedresource mr gardener.cloud/operation=reconcile").await;
}

/// The condition says that these objects are not applied, and nothing else in a while.
async fn stays_failed(test: &Test, objects: &[&str], when: &str) {
    test.message("mr", "ApplyFailed", objects).await;
    let end = tokio::time::Instant::now() + WATCHED;
    while tokio::time::Instant::now() < end {
        let mr = test.get("managedresources", "mr").await.unwrap();
        let conditions = mr["status"]["conditions"].as_array().unwrap();
        let applied = conditions.iter().find(|condition| condition["type"] == "ResourcesApplied").unwrap();
        assert_eq!(applied["reason"], "ApplyFailed", "{when}: {applied}");
        assert_ne!(applied["status"], "True", "{when}: {applied}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An admission policy that refuses what this user writes to ConfigMaps in the test's namespace.
async fn forbid(test: &Test, user: &str) {
    let place = json!({"matchLabels": {"kubernetes.io/metadata.name": test.ns}});
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"]});
    let expression = format!("request.userInfo.username != '{user}'");
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": test.ns},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": expression, "message": "not by you"}],
        }
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": test.ns},
        "spec": {"policyName": test.ns, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": place}}
    });
    for (plural, body) in [("validatingadmissionpolicies", &policy), ("validatingadmissionpolicybindings", &binding)] {
        test.call("POST", &format!("/apis/admissionregistration.k8s.io/v1/{plural}"), Some(body)).await.unwrap();
    }
    test.eventually("the policy to be in force", || async {
        let probe = format!("create configmap probe --dry-run=server --as={user} --as-group=system:masters");
        let output = test.admin.run(&probe).await;
        if output.status.success() { Err("it is not".to_owned()) } else { Ok(()) }
    })
    .await;
}

async fn allow(test: &Test) {
    for plural in ["validatingadmissionpolicybindings", "validatingadmissionpolicies"] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{}", test.ns);
        test.call("DELETE", &path, None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_refuses_stays_failed_until_it_is_allowed() {
    let (test, account, replica) = stage("refused").await;
    let ensured = "metadata:\n  annotations: {resources.gardener.cloud/mode: EnsureExists}\n";
    let manifests = [
        test.config_map("changed", "one"),
        test.config_map("gone", "one"),
        test.config_map("unchanged", "one"),
        test.config_map("ensured", "one").replace("metadata:\n", ensured),
    ];
    test.declare("mr", &manifests.concat()).class(&test.ns).mode("Off").repair("Resync").await;
    test.alice.does(r#"patch configmap changed -p {"data":{"k":"x"}}"#).await;
    test.alice.does("delete configmap gone ensured").await;
    // What others did is left until a sync, and that is no failure.
    nothing_happens_for(WATCHED, "what others did is repaired, or a failure").await;
    test.applied("mr").await;

    forbid(&test, &account.user).await;
    ask(&test).await;
    let all = ["changed", "gone", "unchanged", "ensured", "not by you"];
    stays_failed(&test, &all, "after a sync").await;
    // Deleted while it was tried in vain.
    test.alice.does("delete configmap changed").await;
    stays_failed(&test, &all, "with one more gone").await;
    replica.restart().await;
    stays_failed(&test, &all, "after a restart").await;
    allow(&test).await;
    test.applied("mr").await;
    for name in ["changed", "gone", "unchanged", "ensured"] {
        test.has("configmaps", name, "/data/k", "one").await;
    }
    // From now on, what others do is left again.
    test.alice.does("delete configmap gone").await;
    nothing_happens_for(WATCHED, "what others did is repaired").await;
    assert!(test.get("configmaps", "gone").await.is_none());
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_place_comes_when_there_is_one() {
    let (test, _account, replica) = stage("place").await;
    let inner = Test::on(test.cluster.clone(), &format!("inner-{}", test.ns)).await;
    let group = format!("{}.example.com", test.ns);
    let definition = Definition::new(&group, "Widget").object();
    let widget = json!({
        "apiVersion": format!("{group}/v1"), "kind": "Widget",
        "metadata": {"name": "w", "namespace": test.ns}, "spec": {"size": 1},
    });
    test.create("customresourcedefinitions", &definition).await;
    test.declare("mr", &format!("{widget}\n---\n{}{}", inner.config_map("a", "one"), test.config_map("b", "one")))
        .class(&test.ns)
        .mode("Off")
        .repair("Resync")
        .await;

    test.admin.does(&format!("delete namespace {} --timeout=45s", inner.ns)).await;
    test.admin.does(&format!("delete crd widgets.{group} --timeout=45s")).await;
    ask(&test).await;
    let both = ["Widget", &inner.ns];
    stays_failed(&test, &both, "after a sync").await;
    replica.restart().await;
    stays_failed(&test, &both, "after a restart").await;
    test.create("customresourcedefinitions", &definition).await;
    test.has(&format!("{group}/v1/widgets"), "w", "/spec/size", 1).await;
    stays_failed(&test, &[&inner.ns], "with one of two").await;
    inner.create("namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": inner.ns}})).await;
    test.applied("mr").await;
    inner.has("configmaps", "a", "/data/k", "one").await;
}

/// Nothing is known of what such a write did, not even where nobody else has changed anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_without_an_answer_is_made_up_for() {
    let test = Test::on(Cluster::shared_bare().await, "answer").await;
    let account = Account::create(&test, "controller").await;
    let proxy = FaultProxy::start(&test.cluster.control_plane).await.unwrap();
    let replica = Replica::behind(&test.cluster, &test.ns, &proxy, &account.token, &test.ns).in_namespace(&test.ns);
    replica.start();
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat())
        .class(&test.ns)
        .mode("Off")
        .repair("Resync")
        .await;
    for fault in [Fault::Answer { code: 500, retry_after: None }, Fault::CutBefore, Fault::CutAfter] {
        for is_restarted in [false, true] {
            test.alice.does(r#"patch configmap a -p {"data":{"k":"x"}}"#).await;
            let is_write = |request: &holdfast_e2e::fault_proxy::Request| {
                request.method == "PATCH" && request.path.contains("/configmaps/b")
            };
            proxy.add(Rule::new(fault.clone(), is_write));
            ask(&test).await;
            test.has("configmaps", "a", "/data/k", "one").await;
            let when = format!("{fault:?}, restarted: {is_restarted}");
            stays_failed(&test, &["ConfigMap", "/b"], &when).await;
            if is_restarted {
                replica.restart().await;
                stays_failed(&test, &["ConfigMap", "/b"], &when).await;
            }
            proxy.clear();
            test.applied("mr").await;
        }
    }
}

/// Deleted to be created again, it is in nobody's hands for a while.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_to_be_created_again_is_created() {
    let (test, _account, replica) = stage("between").await;
    let web = |app: &str| {
        let manifest = test.deployment("web").replace("app: web", &format!("app: {app}"));
        manifest.replacen("metadata:\n", &format!("metadata:\n  annotations: {{{REPLACE}}}\n"), 1)
    };
    test.declare("mr", &web("one")).class(&test.ns).mode("Off").repair("Resync").await;
    for (round, app) in ["two", "three"].into_iter().enumerate() {
        let set_finalizers = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
        let uid = test.uid("deployments", "web").await;
        test.merge("deployments", "web", "somebody", &set_finalizers(json!(["example.com/hold"]))).await;
        test.secret("mr", &web(app)).await;
        test.message("mr", "ApplyProgressing", &["it is being deleted; it is created again when it is gone"]).await;
        if round == 1 {
            replica.kill().await;
        }
        test.merge("deployments", "web", "somebody", &set_finalizers(Value::Null)).await;
        if round == 1 {
            test.gone("deployments", "web").await;
            replica.start();
        }
        test.has("deployments", "web", "/spec/selector/matchLabels/app", app).await;
        assert_ne!(test.uid("deployments", "web").await, uid);
        test.applied("mr").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_over_goes_on() {
    let test = Test::on(Cluster::shared_bare().await, "heir").await;
    let account = Account::create(&test, "controller").await;
    let lease = format!("--lease-namespace={}", test.ns);
    let [one, two] = ["one", "two"].map(|name| {
        let replica = Replica::direct(&test.cluster, &format!("{}-{name}", test.ns), &account.token, &test.ns);
        let identity = format!("--lease-identity={name}");
        let flags = ["--leader-elect=true", "--lease-name=holdfast", "--lease-duration=4s", "--renew-deadline=3s"];
        replica.with(&flags).with(&["--retry-period=500ms", &lease, &identity]).in_namespace(&test.ns)
    });
    one.start();
    test.declare("mr", &[test.config_map("changed", "one"), test.config_map("gone", "one")].concat())
        .class(&test.ns)
        .mode("Off")
        .repair("Resync")
        .await;
    two.start();
    test.alice.does(r#"patch configmap changed -p {"data":{"k":"x"}}"#).await;
    test.alice.does("delete configmap gone").await;
    forbid(&test, &account.user).await;
    ask(&test).await;
    stays_failed(&test, &["changed", "gone"], "after a sync").await;
    one.kill().await;
    test.has("coordination.k8s.io/v1/leases", "holdfast", "/spec/holderIdentity", "two").await;
    stays_failed(&test, &["changed", "gone"], "after a change of leaders").await;
    allow(&test).await;
    test.applied("mr").await;
    for name in ["changed", "gone"] {
        test.has("configmaps", name, "/data/k", "one").await;
    }
}
