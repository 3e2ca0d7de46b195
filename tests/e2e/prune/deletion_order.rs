//! In which order things are deleted: what finishes the deletion of others outlives them, and nobody waits for his own home.
use std::time::Duration;

use holdfast_e2e::audit::AuditLog;
use holdfast_testing::Definition;
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, FOREIGN_FINALIZER, Manifest as _, Replica, Test, nothing_happens_for};

/// An operator with all it needs, and an object that only it can finish.
struct Operator {
    group: String,
    ns: String,
}

impl Operator {
    fn new(test: &Test) -> Self {
        Self { group: format!("{}.example.com", test.ns), ns: test.ns.clone() }
    }

    fn definition(&self, kind: &str) -> String {
        Definition::new(&self.group, kind).to_string()
    }

    fn part(&self, name: &str) -> String {
        let part = json!({"apiVersion": format!("{}/v1", self.group), "kind": "Part",
            "metadata": {"name": name, "namespace": self.ns, "finalizers": [FOREIGN_FINALIZER]}});
        format!("{part}\n---\n")
    }

    fn parts(&self) -> String {
        format!("{}/v1/parts", self.group)
    }

    /// What the operator needs: two definitions, a Deployment, an account, rights, a Service, what its pods read.
    fn manifests(&self) -> String {
        let ns = &self.ns;
        [
            self.definition("Part"),
            self.definition("Other"),
            format!("{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: operator, namespace: {ns}}}, spec: {{selector: {{matchLabels: {{app: o}}}}, \
                template: {{metadata: {{labels: {{app: o}}}}, spec: {{serviceAccountName: operator, containers: [{{name: c, image: x, \
                envFrom: [{{configMapRef: {{name: named}}}}]}}], volumes: [{{name: v, secret: {{secretName: mounted}}}}]}}}}}}}}\n---\n"),
            format!("{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: operator, namespace: {ns}}}}}\n---\n"),
            format!("{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {ns}-operator}}, rules: []}}\n---\n"),
            format!("{{apiVersion: v1, kind: Service, metadata: {{name: operator, namespace: {ns}}}, spec: {{ports: [{{port: 80}}]}}}}\n---\n"),
            format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: named, namespace: {ns}}}, data: {{k: v}}}}\n---\n"),
            format!("{{apiVersion: v1, kind: Secret, metadata: {{name: mounted, namespace: {ns}}}}}\n---\n"),
            format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: unnamed, namespace: {ns}}}, data: {{k: v}}}}\n---\n"),
        ]
        .concat()
    }

    /// Names of what the operator needs that is there and not being deleted.
    async fn standing(&self, test: &Test) -> Vec<String> {
        let mut standing = Vec::new();
        for (resource, name) in [
            ("customresourcedefinitions", format!("parts.{}", self.group)),
            ("customresourcedefinitions", format!("others.{}", self.group)),
            ("deployments", "operator".to_owned()),
            ("serviceaccounts", "operator".to_owned()),
            ("services", "operator".to_owned()),
            ("configmaps", "named".to_owned()),
            ("secrets", "mounted".to_owned()),
            ("configmaps", "unnamed".to_owned()),
        ] {
            let object = test.get(resource, &name).await;
            if object.is_some_and(|object| object["metadata"]["deletionTimestamp"].is_null()) {
                standing.push(format!("{resource}/{}", name.split('.').next().unwrap_or_default()));
            }
        }
        let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{}-operator", self.ns);
        if test.call("GET", &path, None).await.is_ok() {
            standing.push("clusterroles/operator".to_owned());
        }
        standing
    }
}

/// Those that wait while a Part is terminating.
const WAITING: [&str; 7] = [
    "customresourcedefinitions/parts",
    "deployments/operator",
    "serviceaccounts/operator",
    "services/operator",
    "configmaps/named",
    "secrets/mounted",
    "clusterroles/operator",
];

async fn finish(test: &Test, operator: &Operator, name: &str) {
    test.merge(&operator.parts(), name, "operator", &json!({"metadata": {"finalizers": null}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_dropped_outlives_what_it_has_to_finish() {
    let test = Test::on(Cluster::shared_bare().await, "operator").await;
    let operator = Operator::new(&test);
    let replica = Replica::of_test(&test).await;
    replica.start();
    let stays = test.config_map("stays", "one");
    // Something else was dropped earlier, and hangs.
    let earlier = test.config_map("earlier", "one").with_metadata(&format!("finalizers: [{FOREIGN_FINALIZER}]"));
    let all = [operator.manifests(), operator.part("g"), earlier, stays.clone()].concat();
    test.declare("mr", &all).class(&test.ns).await;
    test.secret("mr", &[operator.manifests(), operator.part("g"), stays.clone()].concat()).await;
    test.message("mr", "DeletionPending", &["/earlier\" is still pending"]).await;

    test.secret("mr", &stays).await;
    let message = test.message("mr", "DeletionPending", &[&format!("/v1/Part/{}/g\" is still pending", test.ns)]).await;
    eprintln!("{message}");
    for part in
        ["Deployment.apps", "ServiceAccount", "ClusterRole.rbac", "CustomResourceDefinition.apiextensions", "Secret"]
    {
        assert!(message.contains(part), "it names who waits: {message}");
    }
    assert!(message.contains("wait for it)"), "{message}");
    assert_eq!(operator.standing(&test).await, WAITING, "all else goes at once");
    // Over a restart as well.
    replica.kill().await;
    replica.start();
    test.secret("mr", &stays.replace("one", "two")).await;
    test.has("configmaps", "stays", "/data/k", "two").await;
    nothing_happens_for(Duration::from_secs(3), "anything of the operator goes").await;
    assert_eq!(operator.standing(&test).await, WAITING);

    finish(&test, &operator, "g").await;
    test.eventually("all of the operator to go, although what was dropped earlier still hangs", || async {
        let standing = operator.standing(&test).await;
        if standing.is_empty() { Ok(()) } else { Err(format!("{standing:?}")) }
    })
    .await;
    test.merge("configmaps", "earlier", "x", &json!({"metadata": {"finalizers": null}})).await;
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_outlives_its_objects_when_its_managed_resource_is_deleted() {
    let test = Test::shared("operator").await;
    let operator = Operator::new(&test);
    test.declare("mr", &[operator.manifests(), operator.part("g")].concat()).await;
    // Of a user, and not declared.
    let user = json!({"apiVersion": format!("{}/v1", operator.group), "kind": "Part",
        "metadata": {"name": "user", "finalizers": [FOREIGN_FINALIZER]}});
    test.create(&operator.parts(), &user).await;
    test.alice.does("delete managedresource mr --wait=false").await;
    test.message("mr", "DeletionPending", &["/g\" is still pending", "Deployment.apps"]).await;
    let standing = operator.standing(&test).await;
    assert!(WAITING.iter().all(|name| standing.contains(&(*name).to_owned())), "{standing:?}");
    finish(&test, &operator, "g").await;
    // The definition goes before the operator, which has the user's object to finish.
    test.message("mr", "DeletionPending", &["CustomResourceDefinition/default/parts", "Deployment.apps"]).await;
    let standing = operator.standing(&test).await;
    assert!(WAITING[1..].iter().all(|name| standing.contains(&(*name).to_owned())), "{standing:?}");
    finish(&test, &operator, "user").await;
    test.gone("managedresources", "mr").await;
    assert_eq!(operator.standing(&test).await, [""; 0]);
}

/// Not only custom objects have operators: whatever finalizers of others hold goes while these run, dropped or deleted.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_others_have_to_finish_goes_before_them() {
    let test = Test::shared("finalized").await;
    let waiting = |kind: &str, more: &str| {
        let meta = format!("metadata: {{name: held, namespace: {}, finalizers: [{FOREIGN_FINALIZER}]}}", test.ns);
        format!("{{apiVersion: v1, kind: {kind}, {meta}{more}}}\n---\n")
    };
    for (resource, manifest) in [
        ("configmaps", waiting("ConfigMap", "")),
        ("services", waiting("Service", ", spec: {ports: [{port: 80}]}")),
        ("serviceaccounts", waiting("ServiceAccount", "")),
    ] {
        for way in ["dropped", "deleted"] {
            let account = format!(
                "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: operator, namespace: {}}}}}\n---\n",
                test.ns
            );
            let all =
                [manifest.clone(), test.deployment("operator"), account, test.config_map("stays", "one")].concat();
            test.declare("mr", &all).await;
            if way == "dropped" {
                test.secret("mr", &test.config_map("stays", "one")).await;
            } else {
                test.delete("managedresources", "mr").await;
            }
            let message =
                test.message("mr", "DeletionPending", &["/held\" is still pending (", "Deployment.apps"]).await;
            assert!(message.contains("ServiceAccount"), "{resource}, {way}: {message}");
            for (needed, name) in [("deployments", "operator"), ("serviceaccounts", "operator")] {
                let object = test
                    .get(needed, name)
                    .await
                    .unwrap_or_else(|| panic!("{resource}, {way}: {needed} is gone: {message}"));
                assert_eq!(object["metadata"]["deletionTimestamp"], Value::Null, "{resource}, {way}: {name}");
            }
            test.merge(resource, "held", "operator", &json!({"metadata": {"finalizers": null}})).await;
            if way == "dropped" {
                test.applied("mr").await;
                assert!(test.get("deployments", "operator").await.is_none());
                test.delete("managedresources", "mr").await;
            }
            test.gone("managedresources", "mr").await;
        }
    }
}

/// A definition that serves no version does not wait for what it has served, which only its own end can end.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_serves_nothing_can_be_deleted() {
    let test = Test::on(Cluster::shared_bare().await, "unserved").await;
    let operator = Operator::new(&test);
    let replica = Replica::of_test(&test).await;
    replica.start();
    let part = operator
        .part("g")
        .replace(&format!(r#","finalizers":["{FOREIGN_FINALIZER}"]"#), "")
        .replace(&format!(r#""finalizers":["{FOREIGN_FINALIZER}"],"#), "");
    test.declare("mr", &[operator.manifests(), part].concat()).class(&test.ns).await;
    let unserved = json!([{"op": "replace", "path": "/spec/versions/0/served", "value": false}]).to_string();
    let name = format!("parts.{}", operator.group);
    replica.kill().await;
    test.admin.with(&["patch", "crd", &name, "--type=json", "-p", &unserved]).await.success().unwrap();
    test.delete("managedresources", "mr").await;
    replica.start();
    test.gone("managedresources", "mr").await;
    test.gone("customresourcedefinitions", &name).await;
}

/// A webhook configuration that calls a Service which is gone would refuse everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_configuration_goes_before_its_service() {
    let test = Test::shared("hooks").await;
    let hook = format!(
        "{{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {{name: {0}, finalizers: [{FOREIGN_FINALIZER}]}}, \
         webhooks: []}}\n---\n{{apiVersion: v1, kind: Service, metadata: {{name: hook, namespace: {0}}}, spec: {{ports: [{{port: 443}}]}}}}\n---\n",
        test.ns
    );
    test.declare("mr", &[hook, test.config_map("stays", "one")].concat()).await;
    test.secret("mr", &test.config_map("stays", "one")).await;
    let waits = format!("(Service {}/hook waits for it)", test.ns);
    test.message("mr", "DeletionPending", &[&waits]).await;
    assert!(test.get("services", "hook").await.is_some());
    test.merge("validatingwebhookconfigurations", &test.ns, "x", &json!({"metadata": {"finalizers": null}})).await;
    test.applied("mr").await;
    assert!(test.get("services", "hook").await.is_none());
}

/// Refused by admission: pending, named, and tried ever more seldom, while everything else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_deletion_is_named_and_tried_ever_more_seldom() {
    let test = Test::on(Cluster::shared_bare().await, "refused").await;
    let account = Account::create(&test, "controller").await;
    let replica = Replica::direct(&test.cluster, &test.ns, &account.token, &test.ns).in_namespace(&test.ns);
    let replica = replica.with(&["--pending-period=500ms"]);
    replica.start();
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": test.ns},
        "spec": {"failurePolicy": "Fail", "matchConstraints": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": test.ns}},
            "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["configmaps"]}]},
            "validations": [{"expression": "oldObject.metadata.name != 'precious'", "message": "it is precious"}]}});
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": test.ns}, "spec": {"policyName": test.ns, "validationActions": ["Deny"]}});
    let base = "/apis/admissionregistration.k8s.io/v1";
    test.call("POST", &format!("{base}/validatingadmissionpolicies"), Some(&policy)).await.unwrap();
    test.call("POST", &format!("{base}/validatingadmissionpolicybindings"), Some(&binding)).await.unwrap();
    test.declare(
        "mr",
        &[test.config_map("precious", "one"), test.config_map("a", "one"), test.config_map("b", "one")].concat(),
    )
    .class(&test.ns)
    .await;
    // The policy takes a moment to be in force.
    test.eventually("the policy to be in force", || async {
        let path = format!("{}?dryRun=All", test.path("configmaps", "precious"));
        match test.call("DELETE", &path, None).await {
            Err(_) => Ok(()),
            Ok(_) => Err("it is not".to_owned()),
        }
    })
    .await;
    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    test.secret("mr", &test.config_map("a", "two")).await;
    test.message("mr", "DeletionPending", &["precious\" is still pending", "it is precious"]).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.gone("configmaps", "b").await;
    let begin = std::time::Instant::now();
    for number in 0.. {
        if begin.elapsed() > Duration::from_secs(14) {
            break;
        }
        // Other things wake the ManagedResource all the time.
        let value = number.to_string();
        test.secret("mr", &test.config_map("a", &value)).await;
        test.has("configmaps", "a", "/data/k", value).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let tried = log.read_of(&account.user).unwrap();
    let tried: Vec<_> = tried
        .iter()
        .filter(|request| request.verb == "delete" && request.name == "precious")
        .map(|request| request.received)
        .collect();
    assert!((3..=6).contains(&tried.len()), "after 1, 2, 4, 8 seconds: {tried:?}");
    test.call("DELETE", &format!("{base}/validatingadmissionpolicybindings/{}", test.ns), None).await.unwrap();
    test.gone("configmaps", "precious").await;
    test.applied("mr").await;
}
