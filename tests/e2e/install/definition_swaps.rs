//! The definition of ManagedResource is replaced while we run, by the original's and back; clients that do not know our fields.
use std::sync::Arc;
use std::time::Duration;

use holdfast_e2e::audit::AuditLog;
use serde_json::{Map, Value, json};

use crate::harness::{Account, Cluster, PROTECTION, Replica, Test, nothing_happens_for};

const NAME: &str = "managedresources.resources.gardener.cloud";

/// The definition as another installer brings it: without our fields, and with a schema for entries of the inventory.
pub fn foreign_definition() -> Value {
    let mut definition = holdfast_core::api::custom_resource_definition();
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    for field in ["protection", "adopt"] {
        schema["spec"]["properties"].as_object_mut().unwrap().remove(field).unwrap();
    }
    let status = schema["status"]["properties"].as_object_mut().unwrap();
    status.remove("pending").unwrap();
    let (text, texts) =
        (json!({"type": "string"}), json!({"type": "object", "additionalProperties": {"type": "string"}}));
    let fields = ["apiVersion", "kind", "namespace", "name", "uid", "resourceVersion", "fieldPath"];
    let mut properties: Map<String, Value> = fields.into_iter().map(|field| (field.to_owned(), text.clone())).collect();
    properties.extend(["labels", "annotations"].map(|field| (field.to_owned(), texts.clone())));
    status["resources"]["items"] =
        json!({"type": "object", "x-kubernetes-map-type": "atomic", "properties": properties});
    definition
}

/// Puts a definition over the one that is there, and returns when the server goes by it.
pub async fn put_definition(test: &Test, definition: &Value) {
    test.eventually("the definition to be replaced", || async {
        let live = test.get("customresourcedefinitions", NAME).await.unwrap();
        let mut new = definition.clone();
        new["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        let path = test.path("customresourcedefinitions", NAME);
        test.call("PUT", &path, Some(&new)).await.map_err(|error| error.to_string())
    })
    .await;
}

async fn secret_of(test: &Test, name: &str) -> Value {
    let mr = test.get("managedresources", name).await.unwrap();
    mr["status"]["resources"][0]["source"].clone()
}

/// Waits until the entry in the inventory names its Secret, or does not.
async fn names_secret(test: &Test, name: &str, expected: Value) {
    test.eventually(&format!("the inventory of {name} to have {expected}"), || async {
        let found = secret_of(test, name).await;
        if found == expected { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_may_change_while_it_runs() {
    let cluster = Cluster::bare().await;
    cluster.define().await.unwrap();
    let test = Test::on(Arc::new(cluster), "swap").await;
    let account = Account::create(&test, "controller").await;
    let replica = Replica::direct(&test.cluster, "swap", &account.token, "resources").in_namespace(&test.ns);
    replica.start();
    let names = ["one", "two"];
    for name in names {
        test.declare(name, &test.config_map(name, "one")).await;
        names_secret(&test, name, json!(format!("{name}/objects.yaml"))).await;
    }
    let uids = [test.uid("configmaps", "one").await, test.uid("configmaps", "two").await];

    for round in 1..=2 {
        put_definition(&test, &foreign_definition()).await;
        names_secret(&test, "one", Value::Null).await;
        // Said again of the same ManagedResource, it is the same Event with a count.
        test.eventually("an Event that says so", || async {
            let reported = test.events("ForeignDefinition").await.len();
            if (1..=round).contains(&reported) { Ok(()) } else { Err(format!("{reported} of them")) }
        })
        .await;
        // It goes on as before, and not in circles.
        test.redeclare("one", &test.config_map("one", &format!("changed {round}"))).await;
        test.merge("configmaps", "two", "kubectl", &json!({"data": {"k": "x"}})).await;
        test.has("configmaps", "two", "/data/k", "one").await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
        nothing_happens_for(Duration::from_secs(4), "anything is written").await;
        let requests = log.read_of(&account.user).unwrap();
        let written: Vec<_> =
            requests.iter().filter(|request| request.is_write() && request.resource != "leases").collect();
        assert!(written.is_empty(), "round {round}: {written:?}");

        // Ours again: what was dropped meanwhile is written down, without being asked for.
        put_definition(&test, &holdfast_core::api::custom_resource_definition()).await;
        for name in names {
            names_secret(&test, name, json!(format!("{name}/objects.yaml"))).await;
        }
    }
    assert_eq!([test.uid("configmaps", "one").await, test.uid("configmaps", "two").await], uids);
    assert!(test.events("Pruned").await.is_empty());
}

/// A client of the original's types reads a ManagedResource, changes something else, and writes it back without what it does
/// not know.
async fn update_as_typed_client(test: &Test, name: &str) {
    let path = format!("{}?fieldManager=gardenlet", test.path("managedresources", name));
    test.eventually("the update to be accepted", || async {
        let mut mr = test.get("managedresources", name).await.unwrap();
        let spec = mr["spec"].as_object_mut().unwrap();
        spec.remove("protection");
        spec.remove("adopt");
        spec.insert("injectLabels".into(), json!({"team": "blue"}));
        test.call("PUT", &path, Some(&mr)).await.map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_no_protection_drops_it_once() {
    let test = Test::shared("typed").await;
    for name in ["field", "annotation"] {
        test.secret(name, &test.config_map(name, "one")).await;
    }
    test.mr("field", &["field"], json!({"protection": {"mode": "Off"}, "adopt": "Never"})).await;
    test.mr("annotation", &["annotation"], json!({"protection": {"mode": "Deny"}})).await;
    let off = json!({"metadata": {"annotations": {"resources.gardener.cloud/protection": "off"}}});
    test.merge("managedresources", "annotation", "e2e", &off).await;
    let label = PROTECTION;
    for name in ["field", "annotation"] {
        test.applied(name).await;
        test.has("configmaps", name, label, "off").await;
        update_as_typed_client(&test, name).await;
        test.applied(name).await;
        test.has("configmaps", name, "/metadata/labels/team", "blue").await;
    }
    test.has("configmaps", "field", label, "deny").await;
    test.has("configmaps", "annotation", label, "off").await;
    let mut writes = test.writes();
    writes.none_for(Duration::from_secs(4), "the dropped field is written again").await;
    assert!(test.events("ForeignDefinition").await.is_empty(), "the definition is ours");
}
