//! A source and a target that differ, and a source of which only some namespaces are ours.
use std::sync::Arc;

use holdfast_e2e::audit::AuditLog;
use serde_json::{Value, json};

use crate::harness::{Account, CONTROLLER, Cluster, LEASES, Replica, Test, text, write_kubeconfig};

/// A role in the manifests: an object without a namespace.
fn cluster_role(name: &str) -> String {
    format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {name}\nrules: []\n---\n")
}

async fn wide(test: &Test, name: &str) -> Option<Value> {
    let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}");
    test.call("GET", &path, None).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn declarations_in_one_cluster_become_objects_in_another() {
    let source = Test::on(Cluster::shared_bare().await, "source").await;
    let target = Test::on(Arc::new(Cluster::bare().await), "target").await;
    let (own, other) = (Account::create(&source, "controller").await, Account::create(&target, "controller").await);
    let kubeconfigs = [(&source, &own), (&target, &other)]
        .map(|(test, account)| write_kubeconfig(&test.cluster, &test.ns, &json!({"token": account.token})));
    let [from, to] = kubeconfigs.map(|path| path.display().to_string());
    let class = format!("--class={}", source.ns);
    let replica = Replica::only(&source.cluster, CONTROLLER, &source.ns, &[&class, "--probes-address=127.0.0.1:0"])
        .env("KUBECONFIG", &from)
        .env("TARGET_KUBECONFIG", &to)
        .in_namespace(&source.ns);
    let mut log = AuditLog::from_now(&target.cluster.control_plane.audit_log()).unwrap();
    replica.start();
    let role = format!("{}-role", target.ns);
    source.declare("mr", &[target.config_map("a", "one"), cluster_role(&role)].concat()).class(&source.ns).await;
    target.has("configmaps", "a", "/data/k", "one").await;
    assert!(wide(&target, &role).await.is_some() && wide(&source, &role).await.is_none());
    assert!(source.get("configmaps", "a").await.is_none());

    // Repairs and new declarations cross over.
    target.alice.does(r#"patch configmap a -p {"data":{"k":"x"}}"#).await;
    target.has("configmaps", "a", "/data/k", "one").await;
    source.redeclare("mr", &target.config_map("a", "two")).await;
    target.has("configmaps", "a", "/data/k", "two").await;
    source
        .eventually("the role to be gone", || async {
            if wide(&target, &role).await.is_none() { Ok(()) } else { Err("it is there".to_owned()) }
        })
        .await;

    // Everything of our own is in the source.
    assert!(source.get(LEASES, "gardener-resource-manager").await.is_some());
    assert!(source.get("secrets", "holdfast-digest-key").await.is_some());
    source
        .eventually("an Event", || async {
            if source.events("Applied").await.is_empty() { Err("there is none".to_owned()) } else { Ok(()) }
        })
        .await;
    let requests = log.read_of(&other.user).unwrap();
    let foreign: Vec<_> = requests
        .iter()
        .filter(|request| ["leases", "secrets", "events", "managedresources"].contains(&request.resource.as_str()))
        .collect();
    assert!(!requests.is_empty() && foreign.is_empty(), "{foreign:#?}");

    source.delete("managedresources", "mr").await;
    source.gone("managedresources", "mr").await;
    target.gone("configmaps", "a").await;
}

/// Rights that a Role gives in a namespace, and nothing else.
async fn grant(test: &Test, namespace: &str, account: &str, rules: Value) {
    let group = "rbac.authorization.k8s.io/v1";
    let within = Test::within(Arc::clone(&test.cluster), namespace);
    let role = json!({"apiVersion": group, "kind": "Role", "metadata": {"name": "controller"}, "rules": rules});
    within.create(&format!("{group}/roles"), &role).await;
    let binding = json!({
        "apiVersion": group, "kind": "RoleBinding", "metadata": {"name": "controller"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "controller"},
        "subjects": [{"kind": "ServiceAccount", "namespace": test.ns, "name": account}],
    });
    within.create(&format!("{group}/rolebindings"), &binding).await;
}

/// As the README of the chart lists them.
fn rules() -> Value {
    json!([
        {"apiGroups": ["resources.gardener.cloud"], "resources": ["managedresources"],
         "verbs": ["get", "list", "watch", "update", "patch"]},
        {"apiGroups": ["resources.gardener.cloud"], "resources": ["managedresources/status", "managedresources/finalizers"],
         "verbs": ["get", "update", "patch"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    ])
}

/// A token of an account with the rights that the chart gives, in two namespaces only.
async fn restricted_token(home: &Test, other: &Test) -> String {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "restricted"}});
    home.create("serviceaccounts", &account).await;
    let mut own = rules();
    own.as_array_mut().unwrap().extend([
        json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]}),
        json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "update"]}),
    ]);
    grant(home, &home.ns, "restricted", own).await;
    grant(home, &other.ns, "restricted", rules()).await;
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/restricted/token", home.ns);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    text(&home.call("POST", &path, Some(&request)).await.unwrap(), "/status/token")
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_suffice_where_namespaces_are_named() {
    let home = Test::on(Cluster::shared_bare().await, "home").await;
    let other = Test::on(Arc::clone(&home.cluster), "other").await;
    let foreign = Test::on(Arc::clone(&home.cluster), "foreign").await;
    let token = restricted_token(&home, &other).await;

    // The target is the same cluster here, with all rights.
    let strong = Account::create(&home, "strong").await;
    let source = write_kubeconfig(&home.cluster, &home.ns, &json!({"token": token}));
    let target = write_kubeconfig(&home.cluster, &format!("{}-target", home.ns), &json!({"token": strong.token}));
    let config = home.cluster.control_plane.directory().join(format!("{}.yaml", home.ns));
    let content = json!({
        "apiVersion": "resourcemanager.config.gardener.cloud/v1alpha1", "kind": "ResourceManagerConfiguration",
        "sourceClientConnection": {"kubeconfig": source, "namespaces": [home.ns, other.ns]},
        "targetClientConnection": {"kubeconfig": target},
        "server": {"healthProbes": {"bindAddress": "127.0.0.1", "port": 0}},
        "controllers": {"resourceClass": home.ns},
    });
    std::fs::write(&config, content.to_string()).unwrap();
    let config = format!("--config={}", config.display());
    let replica = Replica::only(&home.cluster, CONTROLLER, &home.ns, &[&config]).in_namespace(&home.ns);

    let role = format!("{}-role", home.ns);
    for test in [&home, &other, &foreign] {
        let more = if test.ns == home.ns { cluster_role(&role) } else { String::new() };
        test.declare("mr", &[test.config_map("a", "one"), more].concat()).class(&home.ns).write().await;
    }
    replica.start();
    for test in [&home, &other] {
        test.applied("mr").await;
        test.has("configmaps", "a", "/data/k", "one").await;
        // Both watches are at work: of Secrets here, of ManagedResources by the deletion below.
        test.redeclare("mr", &test.config_map("a", "two")).await;
        test.has("configmaps", "a", "/data/k", "two").await;
    }
    home.eventually("the role that is not declared any more to be gone", || async {
        if wide(&home, &role).await.is_none() { Ok(()) } else { Err("it is there".to_owned()) }
    })
    .await;
    other.delete("managedresources", "mr").await;
    other.gone("managedresources", "mr").await;
    other.gone("configmaps", "a").await;
    home.has("configmaps", "a", "/data/k", "two").await;

    // Whatever is in other namespaces is not looked at.
    let untouched = foreign.get("managedresources", "mr").await.unwrap();
    assert!(untouched["status"].is_null() && untouched["metadata"]["finalizers"].is_null(), "{untouched}");
    assert!(foreign.get("configmaps", "a").await.is_none());
    let log = replica.logged();
    assert!(!log.contains("forbidden"), "{log}");
}
