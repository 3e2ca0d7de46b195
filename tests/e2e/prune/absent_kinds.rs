//! Kinds that are not served: "gone" is said only of what the API server says is gone.
use std::sync::Arc;

use holdfast_e2e::audit::AuditLog;
use holdfast_testing::{Definition, any_fields};
use serde_json::json;

use crate::harness::{Cluster, PROTECTION, Replica, Test, nothing_happens_for, text};

const APISERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A kind in a group of the test's own.
struct Sort<'a> {
    test: &'a Test,
    kind: &'a str,
    plural: String,
    group: String,
}

impl<'a> Sort<'a> {
    fn new(test: &'a Test, kind: &'a str) -> Self {
        Self { test, kind, plural: format!("{}s", kind.to_lowercase()), group: format!("{}.example.com", test.ns) }
    }

    fn name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// Versions v1alpha1 and v1, the latter stored.
    async fn define(&self, scope: &str) {
        let definition = Definition::new(&self.group, self.kind).versions(&[("v1alpha1", true), ("v1", true)]);
        let definition = if scope == "Cluster" { definition.cluster_scoped() } else { definition }.object();
        self.test.call("POST", DEFINITIONS, Some(&definition)).await.unwrap();
        self.test
            .eventually("the kind to be served", || async {
                let path = format!("/apis/{}/v1/{}", self.group, self.plural);
                self.test.call("GET", &path, None).await.map(drop).map_err(|error| error.to_string())
            })
            .await;
    }

    async fn undefine(&self) {
        self.test.call("DELETE", &format!("{DEFINITIONS}/{}", self.name()), None).await.unwrap();
        self.test.gone("customresourcedefinitions", &self.name()).await;
    }

    fn manifest(&self, version: &str, name: &str) -> String {
        let object = json!({"apiVersion": format!("{}/{version}", self.group), "kind": self.kind,
            "metadata": {"name": name}, "spec": {"size": 1}});
        format!("{object}\n---\n")
    }

    async fn uid(&self, path: &str) -> Option<String> {
        let path = format!("/apis/{}/v1/{path}", self.group);
        self.test.call("GET", &path, None).await.ok().map(|object| text(&object, "/metadata/uid"))
    }

    async fn uid_of(&self, path: &str) -> String {
        let uid = || async { self.uid(path).await.ok_or("it is not there".to_owned()) };
        self.test.eventually(&format!("{path} to be there"), uid).await
    }
}

impl Test {
    async fn of_class(&self, name: &str, manifests: &str) {
        self.declare(name, manifests).class(&self.ns).write().await;
    }

    /// Waits until so many objects are in the inventory.
    async fn holds(&self, name: &str, count: usize) {
        self.eventually(&format!("an inventory of {count}"), || async {
            let managed = self.managed(name).await;
            if managed.len() == count { Ok(()) } else { Err(format!("{managed:?}")) }
        })
        .await;
    }

    /// The inventory as `namespace/name`.
    async fn managed(&self, name: &str) -> Vec<String> {
        let status = self.get("managedresources", name).await.unwrap()["status"].clone();
        let managed = status["resources"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> = managed
            .iter()
            .map(|managed| format!("{}/{}", text(managed, "/namespace"), text(managed, "/name")))
            .collect();
        names.extend(status["pending"].as_array().into_iter().flatten().map(ToString::to_string));
        names
    }

    async fn deleted(&self, name: &str) {
        self.delete("managedresources", name).await;
        self.gone("managedresources", name).await;
    }
}

/// The scope is that of the version that is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_scoped_object_outlives_the_version_it_is_declared_in() {
    let test = Test::on(Cluster::shared_bare().await, "version").await;
    let zone = Sort::new(&test, "Zone");
    zone.define("Cluster").await;
    let replica = Replica::of_test(&test).await;
    replica.start();
    test.of_class("mr", &zone.manifest("v1alpha1", "z")).await;
    test.applied("mr").await;
    let uid = zone.uid_of("zones/z").await;

    let unserved = json!([{"op": "replace", "path": "/spec/versions/0/served", "value": false}]).to_string();
    test.admin.with(&["patch", "crd", &zone.name(), "--type=json", "-p", &unserved]).await.success().unwrap();
    replica.restart().await;
    test.message("mr", "ApplyFailed", &[r#"no matches for kind "Zone""#, "v1alpha1"]).await;
    assert_eq!(zone.uid("zones/z").await.as_ref(), Some(&uid), "it lives");
    assert_eq!(test.managed("mr").await, ["/z"]);
    // Another change, and another start: it still counts as declared.
    test.secret("mr", &[zone.manifest("v1alpha1", "z"), test.config_map("a", "one")].concat()).await;
    test.has("configmaps", "a", "/data/k", "one").await;
    replica.restart().await;
    test.secret("mr", &[zone.manifest("v1alpha1", "z"), test.config_map("a", "two")].concat()).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    assert_eq!(zone.uid("zones/z").await.as_ref(), Some(&uid), "it lives on");
    test.deleted("mr").await;
    assert_eq!(zone.uid("zones/z").await, None, "it is deleted through the version that is served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_may_go_and_come_back_in_either_scope() {
    let test = Test::on(Cluster::shared_bare().await, "scope").await;
    let zone = Sort::new(&test, "Zone");
    zone.define("Cluster").await;
    let replica = Replica::of_test(&test).await;
    replica.start();
    test.of_class("mr", &zone.manifest("v1", "z")).await;
    test.applied("mr").await;

    let in_default = "namespaces/default/zones/z";
    for (scope, place, managed) in
        [("Cluster", "zones/z", "/z"), ("Namespaced", in_default, "default/z"), ("Cluster", "zones/z", "/z")]
    {
        zone.undefine().await;
        replica.restart().await;
        test.message("mr", "ApplyFailed", &[r#"no matches for kind "Zone""#]).await;
        assert_eq!(test.managed("mr").await.len(), 1, "nothing is guessed: {:?}", test.managed("mr").await);
        zone.define(scope).await;
        zone.uid_of(place).await;
        test.applied("mr").await;
        assert_eq!(test.managed("mr").await, [managed], "{scope}");
    }
    test.deleted("mr").await;
    assert_eq!(zone.uid("zones/z").await, None);
}

/// Whoever has taken an object out of our hands, or dropped it, while its kind was away, finds that heeded afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_while_its_kind_is_unknown_is_not_deleted() {
    let test = Test::on(Cluster::shared_bare().await, "released").await;
    let zone = Sort::new(&test, "Zone");
    zone.define("Cluster").await;
    let replica = Replica::of_test(&test).await;
    replica.start();
    test.of_class("mr", &zone.manifest("v1", "z")).await;
    test.applied("mr").await;
    let uid = zone.uid_of("zones/z").await;
    // All versions but one that nobody has declared.
    let only = json!([{"op": "add", "path": "/spec/versions/-", "value": {"name": "v2", "served": true, "storage": false,
        "schema": {"openAPIV3Schema": any_fields()}}},
        {"op": "replace", "path": "/spec/versions/0/served", "value": false},
        {"op": "replace", "path": "/spec/versions/1/served", "value": false}]);
    test.admin.with(&["patch", "crd", &zone.name(), "--type=json", "-p", &only.to_string()]).await.success().unwrap();
    let released = zone
        .manifest("v1", "z")
        .replace(r#""name":"z""#, r#""name":"z","annotations":{"resources.gardener.cloud/mode":"Ignore"}"#);
    test.secret("mr", &released).await;
    test.holds("mr", 0).await;
    let live = test.call("GET", &format!("/apis/{}/v2/zones/z", zone.group), None).await.unwrap();
    assert_eq!(text(&live, "/metadata/uid"), uid);
    assert_eq!(live.pointer(PROTECTION), None);
}

/// From now on a server that does not exist serves the group. Returns the paths of the APIServices that say so.
async fn take_group_away(test: &Test, widget: &Sort<'_>) -> [String; 2] {
    let services = ["v1", "v1alpha1"].map(|version| format!("{APISERVICES}/{version}.{}", widget.group));
    let taken = json!({"metadata": {"labels": {"kube-aggregator.kubernetes.io/automanaged": null}},
        "spec": {"service": {"namespace": test.ns, "name": "dead"}, "insecureSkipTLSVerify": true}});
    for service in &services {
        test.merge_at(service, &taken).await;
    }
    test.eventually("the group to be stale", || async {
        let path = format!("/apis/{}/v1/widgets", widget.group);
        match test.call("GET", &path, None).await {
            Err(kube::Error::Api(status)) if status.code == 503 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    services
}

/// The server of a group does not answer: what was dropped meanwhile is pending until it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_does_not_answer_is_not_gone() {
    let cluster = Arc::new(Cluster::bare().await);
    cluster.define().await.unwrap();
    let test = Test::on(cluster, "stale").await;
    let widget = Sort::new(&test, "Widget");
    widget.define("Cluster").await;
    let replica = Replica::of_test(&test).await;
    replica.start();
    test.of_class(
        "mr",
        &[widget.manifest("v1", "a"), widget.manifest("v1", "b"), test.config_map("a", "one")].concat(),
    )
    .await;
    test.of_class("other", &widget.manifest("v1", "n")).await;
    test.applied("mr").await;
    test.applied("other").await;

    let services = take_group_away(&test, &widget).await;
    test.secret("mr", &[widget.manifest("v1", "a"), test.config_map("a", "two")].concat()).await;
    test.delete("managedresources", "other").await;
    for round in ["before", "after"] {
        test.has("configmaps", "a", "/data/k", "two").await;
        let pending = |name: &str| format!("/v1/Widget/default/{name}\" is still pending");
        test.eventually(&format!("the condition to name it {round} the restart"), || async {
            let message = text(&test.get("managedresources", "mr").await.unwrap()["status"], "/conditions/0/message");
            if message.contains(&pending("b")) || message.contains("Widget.") { Ok(()) } else { Err(message) }
        })
        .await;
        let message = test.message("other", "DeletionPending", &[&pending("n")]).await;
        eprintln!("{round} the restart: {message}");
        assert_eq!(test.managed("mr").await.len(), 3, "{:?}", test.managed("mr").await);
        if round == "before" {
            replica.restart().await;
            replica.says(&["controller started"]).await;
            let more = [widget.manifest("v1", "a"), test.config_map("a", "two"), test.config_map("c", "x")];
            test.secret("mr", &more.concat()).await;
            test.has("configmaps", "c", "/data/k", "x").await;
            test.secret("mr", &[widget.manifest("v1", "a"), test.config_map("a", "two")].concat()).await;
            test.gone("configmaps", "c").await;
        }
    }
    // The API server makes them anew, and serves the group itself again.
    for path in services {
        test.call("DELETE", &path, None).await.unwrap();
    }
    test.gone("managedresources", "other").await;
    test.applied("mr").await;
    assert_eq!(widget.uid("widgets/n").await, None);
    assert_eq!(widget.uid("widgets/b").await, None);
    assert!(widget.uid("widgets/a").await.is_some());
    assert_eq!(test.managed("mr").await.len(), 2);
}

/// Kinds that a later Kubernetes has removed, or of which the definition is gone, do not hold up anything.
#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_are_gone_from_a_living_group_hold_up_nothing() {
    let test = Test::on(Cluster::shared_bare().await, "removed").await;
    let (stays, goes) = (Sort::new(&test, "Stay"), Sort::new(&test, "Go"));
    stays.define("Cluster").await;
    goes.define("Namespaced").await;
    let replica = Replica::of_test(&test).await;
    replica.start();
    test.of_class("mr", &[stays.manifest("v1", "a"), goes.manifest("v1", "b"), test.config_map("a", "one")].concat())
        .await;
    test.applied("mr").await;
    replica.kill().await;
    goes.undefine().await;
    // As the original has written it in former times.
    let mut status = test.get("managedresources", "mr").await.unwrap()["status"].clone();
    let policy = json!({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "name": "old"});
    let resources = status["resources"].as_array_mut().unwrap();
    resources.push(policy);
    // And an earlier version of ours, which guessed: a namespace of a kind that has none.
    let guessed =
        json!({"apiVersion": format!("{}/v1", stays.group), "kind": "Stay", "name": "a", "namespace": "default"});
    resources.push(guessed);
    let uid = stays.uid_of("stays/a").await;
    test.merge_at(&format!("{}/status", test.path("managedresources", "mr")), &json!({"status": status})).await;
    replica.start();
    test.secret("mr", &[stays.manifest("v1", "a"), test.config_map("a", "two")].concat()).await;
    test.applied("mr").await;
    test.holds("mr", 2).await;
    assert_eq!(stays.uid("stays/a").await, Some(uid), "the real one lives");
    test.deleted("mr").await;
    assert_eq!(stays.uid("stays/a").await, None);
}

/// Nobody can tell without these rights.
#[tokio::test(flavor = "multi_thread")]
async fn without_rights_to_ask_nothing_is_said_to_be_gone() {
    let test = Test::on(Cluster::shared_bare().await, "rights").await;
    let zone = Sort::new(&test, "Zone");
    zone.define("Cluster").await;
    let all = Replica::of_test(&test).await;
    all.start();
    test.of_class("mr", &[zone.manifest("v1", "z"), test.config_map("a", "one")].concat()).await;
    test.applied("mr").await;
    all.kill().await;
    zone.undefine().await;

    test.create("serviceaccounts", &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "few"}}))
        .await;
    let groups = ["", "resources.gardener.cloud", "events.k8s.io", "coordination.k8s.io", "autoscaling"];
    let name = format!("{}-few", test.ns);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
        "rules": [{"apiGroups": groups, "resources": ["*"], "verbs": ["*"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": test.ns, "name": "few"}]});
    for (plural, body) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        test.call("POST", &format!("/apis/rbac.authorization.k8s.io/v1/{plural}"), Some(&body)).await.unwrap();
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/few/token", test.ns);
    let token = text(&test.call("POST", &path, Some(&request)).await.unwrap(), "/status/token");
    let few = Replica::direct(&test.cluster, &name, &token, &test.ns)
        .in_namespace(&test.ns)
        .with(&["--pending-period=500ms"]);
    few.start();
    test.secret("mr", &test.config_map("a", "two")).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.message("mr", "DeletionPending", &["nobody can tell whether kind Zone", "is forbidden"]).await;
    few.kill().await;
    all.start();
    test.applied("mr").await;
    assert_eq!(test.managed("mr").await.len(), 1);
}

/// Reviews and bindings are requests and no objects.
#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_can_only_be_created_are_named_and_hold_up_nothing() {
    let test = Test::shared("reviews").await;
    let manifests = |value: &str| {
        [
            "{apiVersion: authorization.k8s.io/v1, kind: SubjectAccessReview, metadata: {name: r}, spec: {user: u, resourceAttributes: {verb: get, resource: pods}}}\n---\n",
            &format!("{{apiVersion: v1, kind: Binding, metadata: {{name: p, namespace: {}}}, target: {{kind: Node, name: n}}}}\n---\n", test.ns),
            &test.config_map("ok", value),
        ]
        .concat()
    };
    let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mr"}, "stringData": {"objects.yaml": manifests("one")}});
    test.mr("mr", &["mr"], json!({})).await;
    let printed = test.alice.send("create", &body.to_string()).await;
    assert!(printed.status.success(), "{}", printed.stderr);
    assert!(
        printed.stderr.contains("objects of kind Binding cannot be managed"),
        "told at the door: {}",
        printed.stderr
    );
    assert!(
        printed.stderr.contains("objects of kind SubjectAccessReview.authorization.k8s.io cannot"),
        "{}",
        printed.stderr
    );
    let message = test.message("mr", "ApplyFailed", &["SubjectAccessReview", "cannot be managed", "Binding"]).await;
    eprintln!("{message}");
    test.has("configmaps", "ok", "/data/k", "one").await;
    assert_eq!(test.managed("mr").await.len(), 1, "{:?}", test.managed("mr").await);

    // What an older version has written down.
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "name": "r", "namespace": "default"});
    let mut status = test.get("managedresources", "mr").await.unwrap()["status"].clone();
    status["resources"].as_array_mut().unwrap().push(review);
    test.merge_at(&format!("{}/status", test.path("managedresources", "mr")), &json!({"status": status})).await;
    let mut log = AuditLog::new(&test.cluster.control_plane.audit_log());
    log.read_of("system:serviceaccount:holdfast-system:holdfast-controller").unwrap();
    nothing_happens_for(std::time::Duration::from_secs(5), "they are created").await;
    let requests = log.read_of("system:serviceaccount:holdfast-system:holdfast-controller").unwrap();
    let created: Vec<_> = requests
        .iter()
        .filter(|request| ["subjectaccessreviews", "bindings"].contains(&request.resource.as_str()))
        .collect();
    assert!(created.is_empty(), "{created:#?}");
    test.redeclare("mr", &test.config_map("ok", "two")).await;
    assert_eq!(test.managed("mr").await.len(), 1);
    test.alice.does("delete managedresource mr --timeout=45s").await;
}
