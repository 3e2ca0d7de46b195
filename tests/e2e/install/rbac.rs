//! Rights of our service accounts: each is used, none is missing, and there are no others.
//!
//! The API server's audit log says of each request by which binding it was allowed. So a right that the main scenarios
//! use and that no other rule grants is one without which they fail.
use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_e2e::audit::{AuditLog, Request};
use holdfast_e2e::install;
use holdfast_testing::Definition;
use serde_json::{Value, json};

use crate::harness::{CONTROLLER, Cluster, LIMIT, Manifest as _, SYSTEM, Test, WEBHOOK, may, printed, reported};

/// What `kubectl auth can-i --list` says: in any namespace, and in our own.
type Listed = (Option<&'static str>, Option<&'static str>);

const fn anywhere(line: &'static str) -> Listed {
    (Some(line), Some(line))
}

const WEBHOOKS: [Listed; 7] = [
    anywhere("events.events.k8s.io [] [] [create patch]"),
    anywhere("managedresources.resources.gardener.cloud [] [] [list watch]"),
    anywhere("mutatingwebhookconfigurations.admissionregistration.k8s.io [] [zz-holdfast] [get list watch patch]"),
    (Some("secrets [] [] [get]"), Some("secrets [] [] [get create]")),
    (None, Some("secrets [] [holdfast-webhook-tls] [list watch update]")),
    anywhere("subjectaccessreviews.authorization.k8s.io [] [] [create]"),
    anywhere("validatingwebhookconfigurations.admissionregistration.k8s.io [] [holdfast] [get list watch patch]"),
];

/// Beside those of manifests.
const CONTROLLERS: [Listed; 12] = [
    anywhere("apiservices.apiregistration.k8s.io [] [] [get list]"),
    anywhere("configmaps [] [cluster-identity] [get]"),
    anywhere("customresourcedefinitions.apiextensions.k8s.io [] [] [get list]"),
    anywhere("events.events.k8s.io [] [] [create patch]"),
    anywhere("horizontalpodautoscalers.autoscaling [] [] [list watch]"),
    (None, Some("leases.coordination.k8s.io [] [] [create]")),
    (None, Some("leases.coordination.k8s.io [] [gardener-resource-manager] [get update]")),
    anywhere("managedresources.resources.gardener.cloud [] [] [list watch patch]"),
    anywhere("managedresources.resources.gardener.cloud/status [] [] [update]"),
    anywhere("namespaces [] [] [get]"),
    (Some("secrets [] [] [get list watch]"), Some("secrets [] [] [get list watch create]")),
    (None, Some("secrets [] [holdfast-digest-key] [update]")),
];

/// Of kinds that come and go.
const GROUP: &str = "rights.example.com";

/// A right: role, verb, group, resource, name (`*` for any).
type Right = (String, String, String, String, String);

fn user(account: &str) -> String {
    format!("system:serviceaccount:{SYSTEM}:{account}")
}

/// What the chart's role of this name grants, one right for each combination.
async fn granted(test: &Test, kind: &str, name: &str) -> BTreeSet<Right> {
    let path = match kind {
        "Role" => format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{SYSTEM}/roles/{name}"),
        _ => format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}"),
    };
    let role = test.call("GET", &path, None).await.unwrap();
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        let items = rule[field].as_array().cloned().unwrap_or_default();
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let mut names = texts(rule, "resourceNames");
        if names.is_empty() {
            names.push("*".to_owned());
        }
        for name in &names {
            for group in texts(rule, "apiGroups") {
                for resource in texts(rule, "resources") {
                    for verb in texts(rule, "verbs") {
                        rights.insert((kind.to_owned(), verb, group.clone(), resource.clone(), name.clone()));
                    }
                }
            }
        }
    }
    rights
}

/// Whether a request was allowed because of this right.
fn is_used(right: &Right, request: &Request) -> bool {
    let (kind, verb, group, resource, name) = right;
    let used = if request.subresource.is_empty() {
        request.resource.clone()
    } else {
        format!("{}/{}", request.resource, request.subresource)
    };
    let reason = request.annotations.get("authorization.k8s.io/reason").map(String::as_str).unwrap_or_default();
    let is_named = name == "*" || *name == request.name;
    request.verb == *verb
        && request.group == *group
        && used == *resource
        && is_named
        && reason.contains(&format!(" of {kind} \"holdfast-"))
}

/// What happens in the life of an installation, as far as it takes rights.
async fn live(test: &Test) {
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).await;
    // Twice, so that an Event is told of again.
    for round in ["one", "two"] {
        if round == "two" {
            reported(test, "Repaired", &[]).await;
            reported(test, "WouldDeny", &[]).await;
            // The controller tells of the same thing at most every ten seconds.
            tokio::time::sleep(std::time::Duration::from_secs(11)).await;
        }
        test.alice.does(&format!(r#"patch configmap a -p {{"data":{{"k":"{round}!"}}}}"#)).await;
        test.has("configmaps", "a", "/data/k", "one").await;
        let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3600);
        let pause = json!({"spec": {"protection": {"pauses": [{"kind": "Secret", "until": format!("{until:.0}"), "reason": round}]}}});
        may(test, &["patch", "managedresource", "mr", "--type=merge", "-p", &pause.to_string()]).await;
    }
    // What is lost is made anew.
    let garbage = r#"{"data":{"tls.crt":"eA==","tls.key":"eA=="}}"#;
    for (secret, component, data) in
        [("holdfast-digest-key", CONTROLLER, r#"{"data":null}"#), ("holdfast-webhook-tls", WEBHOOK, garbage)]
    {
        test.admin.does(&format!("patch secret {secret} -n {SYSTEM} --type=merge -p {data}")).await;
        test.admin.does(&format!("rollout restart deployment {component} -n {SYSTEM}")).await;
        test.admin.does(&format!("rollout status deployment {component} -n {SYSTEM} --timeout=60s")).await;
        let system = Test::within(Arc::clone(&test.cluster), SYSTEM);
        test.eventually(&format!("{secret} to be filled again"), || async {
            let found = system.try_get("secrets", secret).await?.ok_or("it is gone")?;
            let is_made = found["data"].is_object() && found["data"]["tls.crt"] != "eA==";
            if is_made { Ok(()) } else { Err("it is not".to_owned()) }
        })
        .await;
    }
    // Until the restarted ones have taken over.
    test.redeclare("mr", &[test.config_map("a", "two"), test.deployment("web")].concat()).await;
    loses_a_kind(test).await;
    loses_its_home(test).await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("configmaps", "a").await.is_none());
}

/// A kind goes while another one of its group stays: whether it exists is asked for.
async fn loses_a_kind(test: &Test) {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for kind in ["Part", "Other"] {
        test.call("POST", path, Some(&Definition::new(GROUP, kind).schema(json!({"type": "object"})).object()))
            .await
            .unwrap();
    }
    let part =
        json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Part", "metadata": {"name": "a", "namespace": test.ns}});
    test.redeclare("mr", &format!("{}{part}", test.config_map("a", "three"))).await;
    test.delete("customresourcedefinitions", &format!("parts.{GROUP}")).await;
    test.gone("customresourcedefinitions", &format!("parts.{GROUP}")).await;
    test.redeclare("mr", &test.config_map("a", "four")).await;
}

/// The Namespace that a ManagedResource lives in is deleted, and what is in it takes its time.
async fn loses_its_home(test: &Test) {
    let home = Test::on(Arc::clone(&test.cluster), "home").await;
    let managed = home.config_map("held", "one").with_metadata("finalizers: [example.com/hold]");
    home.declare("mr", &managed).await;
    home.delete("namespaces", &home.ns).await;
    home.gone("managedresources", "mr").await;
    home.merge("configmaps", "held", "x", &json!({"metadata": {"finalizers": null}})).await;
}

/// What an account may do in a namespace, without what everybody may.
async fn listed(test: &Test, account: &str, namespace: &str) -> Vec<String> {
    let who = format!("--as={}", user(account));
    let output = test.admin.with(&["auth", "can-i", "--list", "--no-headers", "-n", namespace, &who]).await;
    assert!(output.status.success(), "{}", printed(&output));
    let lines = output.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut lines: Vec<String> =
        lines.filter(|line| !line.starts_with("selfsubject") && !line.starts_with('[')).collect();
    lines.sort();
    lines
}

/// Waits until the audit log shows a use of each right. No request may have been forbidden.
async fn all_are_used(test: &Test, account: &str, rights: &BTreeSet<Right>) {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let mut log = AuditLog::new(&test.cluster.control_plane.audit_log());
        let requests = log.read_of(&user(account)).unwrap();
        let is_forbidden = |request: &&Request| {
            request.annotations.get("authorization.k8s.io/decision").is_some_and(|it| it == "forbid")
        };
        let missing: Vec<&Request> = requests.iter().filter(is_forbidden).collect();
        assert!(missing.is_empty(), "rights that {account} lacks: {missing:#?}");
        let unused: Vec<&Right> =
            rights.iter().filter(|right| !requests.iter().any(|request| is_used(right, request))).collect();
        if unused.is_empty() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "rights that {account} does not need: {unused:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_is_used_and_none_is_missing() {
    let test = Test::on(Arc::new(Cluster::bare().await), "rights").await;
    let values = [
        // Events are repeated by the process that has told them before.
        "webhook.replicas=1",
        "protection.auditOnly=true",
        "rbac.controller.clusterAdmin=false",
        "rbac.controller.extraRules[0].apiGroups={,apps,rights.example.com}",
        "rbac.controller.extraRules[0].resources={configmaps,deployments,parts}",
        "rbac.controller.extraRules[0].verbs={get,list,watch,create,patch,delete}",
        "controller.config.controllers.clusterID=<default>",
    ];
    install::install(&test.cluster.control_plane, &test.cluster.player, &values).await.unwrap();
    live(&test).await;
    // Watches are in the log when they have ended.
    for deployment in [CONTROLLER, WEBHOOK] {
        test.admin.does(&format!("scale deployment {deployment} --replicas=0 -n {SYSTEM}")).await;
    }
    test.eventually("no process of ours to be left", || async {
        let remaining = [CONTROLLER, WEBHOOK].map(|name| test.cluster.player.pods_of(name).len());
        if remaining == [0, 0] { Ok(()) } else { Err(format!("{remaining:?}")) }
    })
    .await;

    for account in [CONTROLLER, WEBHOOK] {
        let mut rights = granted(&test, "ClusterRole", account).await;
        rights.extend(granted(&test, "Role", account).await);
        // Rights for kinds in manifests are the installer's to give.
        rights.retain(|(_, _, _, resource, name)| {
            name != "*" || !["configmaps", "deployments", "parts"].contains(&resource.as_str())
        });
        all_are_used(&test, account, &rights).await;
    }

    for (account, expected) in [(WEBHOOK, &WEBHOOKS[..]), (CONTROLLER, &CONTROLLERS[..])] {
        for (namespace, is_own) in [(test.ns.as_str(), false), (SYSTEM, true)] {
            let everybodys = listed(&test, "default", namespace).await;
            let mut found = listed(&test, account, namespace).await;
            found.retain(|line| !everybodys.contains(line) && !line.ends_with("[get list watch create patch delete]"));
            let expected: Vec<&str> =
                expected.iter().filter_map(|(all, own)| if is_own { *own } else { *all }).collect();
            assert_eq!(found, expected, "{account} in {namespace}");
        }
    }
}
