//! Names: those that lead elsewhere in a URL, those that only some kinds can have, and what becomes of them.
use std::collections::BTreeSet;

use holdfast_core::object_name;
use holdfast_e2e::audit::AuditLog;
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, Replica, Test, may, printed, reported};

const ROLES: &str = "rbac.authorization.k8s.io/v1/roles";
const CLUSTER_ROLES: &str = "rbac.authorization.k8s.io/v1/clusterroles";

/// What RBAC allows in names: everything but `/`, `%`, `.` and `..`.
const UNUSUAL_NAMES: [&str; 10] = [
    "team:a b",
    "victim#1",
    "victim?a=b",
    "?watch=true",
    "#",
    "x@y+z&w",
    "ü",
    "it's \"quoted\" $(false)",
    "line\nfeed",
    "a:b;c,d!e*f\\g",
];

fn role(test: &Test, kind: &str, name: &str, verb: &str) -> Value {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]);
    let mut role =
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "rules": rules, "metadata": {"name": name}});
    if kind == "Role" {
        role["metadata"]["namespace"] = json!(test.ns);
    }
    role
}

/// Of cluster-wide objects, to be told from those of other tests.
fn wide(test: &Test, name: &str) -> String {
    format!("{name}{}", test.ns)
}

/// Roles, and cluster roles, of these names.
fn roles<'a>(test: &Test, names: impl IntoIterator<Item = &'a &'a str>) -> String {
    let both = |name: &&str| [role(test, "Role", name, "get"), role(test, "ClusterRole", &wide(test, name), "get")];
    names.into_iter().flat_map(both).map(|role| role.to_string() + "\n---\n").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn peculiar_names_are_applied_protected_repaired_pruned_and_deleted() {
    let test = Test::shared("peculiar").await;
    test.declare("owner", &roles(&test, &["victim"])).await;
    let victims = [test.uid(ROLES, "victim").await, test.uid(CLUSTER_ROLES, &wide(&test, "victim")).await];
    test.declare("mr", &roles(&test, &UNUSUAL_NAMES)).await;
    for name in UNUSUAL_NAMES {
        assert_eq!(test.get(ROLES, name).await.expect(name)["metadata"]["name"], name);
        assert!(test.get(CLUSTER_ROLES, &wide(&test, name)).await.is_some(), "{name}");
        is_refused_and_paused_by_the_printed_command(&test, "role", name).await;
    }
    is_refused_and_paused_by_the_printed_command(&test, "clusterrole", &wide(&test, "victim?a=b")).await;
    // At the end of the pauses everything is put right.
    test.alice.does("patch mr mr --type=merge -p {\"spec\":{\"protection\":{\"pauses\":null,\"mode\":\"Off\"}}}").await;
    for name in UNUSUAL_NAMES {
        test.has(ROLES, name, "/rules/0/verbs/0", "get").await;
    }
    // What is deleted comes back: the watch names it as it is.
    for name in UNUSUAL_NAMES {
        let uid = test.uid(ROLES, name).await;
        may(&test, &["delete", "role", name]).await;
        test.eventually(&format!("{name:?} to be back"), || async {
            let now = test.try_get(ROLES, name).await?.ok_or("it is gone")?;
            if now["metadata"]["uid"] == json!(uid) { Err("it is the old one".to_owned()) } else { Ok(()) }
        })
        .await;
    }
    reported(&test, "Repaired", &["Role.rbac.authorization.k8s.io", "team:a b"]).await;
    // Dropped one half, then the ManagedResource.
    let (dropped, retained) = UNUSUAL_NAMES.split_at(UNUSUAL_NAMES.len() / 2);
    test.redeclare("mr", &roles(&test, retained)).await;
    for (names, is_there) in [(dropped, false), (retained, true)] {
        for name in names {
            assert_eq!(test.get(ROLES, name).await.is_some(), is_there, "{name:?}");
            assert_eq!(test.get(CLUSTER_ROLES, &wide(&test, name)).await.is_some(), is_there, "{name:?}");
        }
    }
    test.alice.does("delete managedresource mr --timeout=45s").await;
    for name in UNUSUAL_NAMES {
        assert!(test.get(ROLES, name).await.is_none() && test.get(CLUSTER_ROLES, &wide(&test, name)).await.is_none());
    }
    let now = [test.uid(ROLES, "victim").await, test.uid(CLUSTER_ROLES, &wide(&test, "victim")).await];
    assert_eq!(now, victims, "nobody has touched the objects of the other ManagedResource");
}

async fn is_refused_and_paused_by_the_printed_command(test: &Test, kind: &str, name: &str) {
    let edit = json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}).to_string();
    let edit = ["patch", kind, name, "--type=merge", "-p", &edit];
    let refusal = test.alice.with(&edit).await.refusal().unwrap_or_else(|error| panic!("{name:?}: {error:#}"));
    assert!(refusal.contains(&format!("{name:?} is managed by ManagedResource {}/mr", test.ns)), "{refusal}");
    let command = refusal.split_once("with: ").unwrap_or_else(|| panic!("no command: {refusal}")).1.trim();
    let pasted = test.alice.pastes(command).await;
    assert!(pasted.status.success(), "{command}: {}", printed(&pasted));
    may(test, &edit).await;
}

/// The ManagedResource whose manifests have names that their kinds cannot have, with a webhook at the door.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_its_kind_cannot_have_is_refused_at_the_door() {
    let test = Test::shared("names").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let with = |metadata: Value| {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        format!("{}{object}", test.config_map("a", "two"))
    };
    for name in ["victim#1", "victim?a=b", "?a=b", "a b", "..", ".", "a/b", "a%2Fb", "a\n", "A", "victim?watch=true"] {
        for metadata in [json!({"name": name, "namespace": test.ns}), json!({"name": "b", "namespace": name})] {
            let error =
                test.try_secret("mr", &[("objects.yaml", with(metadata).as_bytes())]).await.unwrap_err().to_string();
            let reason = "key \\\"objects.yaml\\\", document 2, line ";
            assert!(error.contains("denied the request") && error.contains(reason), "{name:?}: {error}");
            assert!(error.contains("is no name that "), "{name:?}: {error}");
        }
    }
    test.has("configmaps", "a", "/data/k", "one").await;
}

/// Nobody is at the door, and an older version has noted such names in the inventory.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_its_kind_cannot_have_never_leads_to_another_object() {
    let test = Test::on(Cluster::shared_bare().await, "names").await;
    let account = Account::create(&test, "controller").await;
    let replica = Replica::direct(&test.cluster, &test.ns, &account.token, &test.ns).in_namespace(&test.ns);
    replica.start();
    test.declare("owner", &[test.config_map("victim", "one"), test.config_map("status", "one")].concat())
        .class(&test.ns)
        .await;
    let uid = test.uid("configmaps", "victim").await;

    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    let bad =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": test.ns}});
    let documents =
        ["victim#1", "victim?a=b", "?a=b", "../configmaps/victim"].map(|name| format!("{}\n---\n", bad(name)));
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one"), documents.concat()].concat())
        .class(&test.ns)
        .write()
        .await;
    test.message("mr", "DecodingFailed", &["document 3", "is no name that a ConfigMap can have"]).await;
    test.has("configmaps", "a", "/data/k", "one").await;
    // Nothing is pruned while a document cannot be read.
    test.secret("mr", &[test.config_map("a", "two"), documents.concat()].concat()).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    assert!(test.get("configmaps", "b").await.is_some());

    // As an older version has left it.
    replica.kill().await;
    let mut reported = test.get("managedresources", "mr").await.unwrap();
    reported["status"]["resources"].as_array_mut().unwrap().extend(impossible_entries(&test.ns));
    test.call("PUT", &test.path("managedresources", "mr/status"), Some(&reported)).await.unwrap();
    test.secret("mr", &test.config_map("a", "three")).await;
    replica.start();
    test.has("configmaps", "a", "/data/k", "three").await;
    test.gone("configmaps", "b").await;
    test.applied("mr").await;
    test.has("managedresources", "mr", "/status/resources/1", Value::Null).await;

    replica.kill().await;
    let mut remaining = test.get("managedresources", "mr").await.unwrap();
    remaining["status"]["resources"] = reported["status"]["resources"].clone();
    test.call("PUT", &test.path("managedresources", "mr/status"), Some(&remaining)).await.unwrap();
    test.delete("managedresources", "mr").await;
    replica.start();
    test.gone("managedresources", "mr").await;
    assert!(test.get("configmaps", "a").await.is_none(), "what was there is deleted");
    assert_eq!(test.uid("configmaps", "victim").await, uid);
    let sent = object_requests(&mut log, &account, &test.ns);
    let strangers: Vec<_> =
        sent.iter().filter(|(_, name, sub)| !["a", "b"].contains(&name.as_str()) || !sub.is_empty()).collect();
    assert!(strangers.is_empty() && !sent.is_empty(), "requests about other objects: {strangers:?}");
}

/// Entries of an inventory that name what cannot be.
fn impossible_entries(ns: &str) -> Vec<Value> {
    let mut entries = Vec::new();
    for (name, namespace) in [
        ("victim#1", ns),
        ("victim?a=b", ns),
        ("?a=b", ns),
        ("..", ns),
        ("victim/status", ns),
        ("x", &format!("{ns}/configmaps/victim?")),
    ] {
        for pending in [false, true] {
            let name = if pending { format!("{name}#") } else { name.to_owned() };
            entries.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": name, "pending": pending}));
        }
    }
    entries
}

/// Verb, name and subresource of the requests of an account about single ConfigMaps.
fn object_requests(log: &mut AuditLog, account: &Account, ns: &str) -> BTreeSet<(String, String, String)> {
    let requests = log.read_of(&account.user).unwrap();
    requests
        .into_iter()
        .filter(|request| request.resource == "configmaps" && request.namespace.starts_with(ns))
        .filter(|request| !["list", "watch"].contains(&request.verb.as_str()))
        .map(|request| (request.verb, request.name, request.subresource))
        .collect()
}

/// Names that no kind with a form can have, but for addresses.
const FORMLESS: [&str; 8] = ["victim#1", "?a=b", "a b", "A", "-a", "a_b", "a..b", "ü"];

/// Both ways: what we refuse, the API server refuses, and what it refuses, we do. A kind of a later version that the table does
/// not have fails here.
#[tokio::test(flavor = "multi_thread")]
async fn we_refuse_the_names_that_the_api_server_refuses() {
    let test = Test::on(Cluster::shared_bare().await, "names").await;
    let (mut served, mut differences) = (BTreeSet::new(), Vec::new());
    for (api_version, resource) in creatable(&test).await {
        let (group, _) = api_version.split_once('/').unwrap_or(("", &api_version));
        let (kind, plural) = (resource["kind"].as_str().unwrap(), resource["name"].as_str().unwrap());
        served.insert((group.to_owned(), kind.to_owned()));
        let place = if resource["namespaced"] == true { format!("/namespaces/{}", test.ns) } else { String::new() };
        let prefix = if group.is_empty() { "/api" } else { "/apis" };
        let path = format!("{prefix}/{api_version}{place}/{plural}?dryRun=All");
        for name in FORMLESS {
            let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
            let answer = test.call("POST", &path, Some(&object)).await;
            let refusal = match &answer {
                Err(kube::Error::Api(status)) if status.message.contains("metadata.name: Invalid value") => {
                    &*status.message
                }
                _ => "",
            };
            let ours = object_name::refusal(group, kind, name);
            if ours.is_some() == refusal.is_empty() {
                let refused =
                    answer.as_ref().err().map(|error| error.to_string().chars().take(200).collect::<String>());
                differences.push(format!("{api_version} {kind} {name:?}: we say {ours:?}, the server {refused:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
    let expected: BTreeSet<_> =
        object_name::forms().map(|(group, kind, _)| (group.to_owned(), kind.to_owned())).collect();
    let missing: Vec<_> = expected.difference(&served).collect();
    assert!(missing.len() < expected.len() / 4, "hardly any kind was tried: {missing:?}");
}

/// Kinds that come with the API server and of which there are objects to be created, in each version.
async fn creatable(test: &Test) -> Vec<(String, Value)> {
    let groups = test.call("GET", "/apis", None).await.unwrap();
    let versions = groups["groups"].as_array().unwrap().iter().flat_map(|group| group["versions"].as_array().unwrap());
    let versions = versions.map(|version| version["groupVersion"].as_str().unwrap().to_owned());
    let mut found = Vec::new();
    for version in versions.chain(["v1".to_owned()]).filter(|version| !version.contains("gardener")) {
        let path = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
        // Another test may have taken its definition away meanwhile.
        let Ok(list) = test.call("GET", &path, None).await else { continue };
        let is_retained = |resource: &&Value| {
            let verbs = resource["verbs"].as_array();
            let has = |verb: &str| verbs.is_some_and(|verbs| verbs.contains(&json!(verb)));
            has("create") && has("get") && !resource["name"].as_str().unwrap_or("/").contains('/')
        };
        let is_built_in = !version.contains("example.com");
        let resources = list["resources"].as_array().into_iter().flatten().filter(is_retained).filter(|_| is_built_in);
        found.extend(resources.map(|resource| (version.clone(), resource.clone())));
    }
    found
}
