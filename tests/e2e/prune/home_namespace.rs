//! Namespaces that ManagedResources live in, and those that every cluster has.
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Cluster, FOREIGN_FINALIZER, Manifest as _, PROTECTION, Replica, Test, nothing_happens_for, printed, text,
};

fn namespace(name: &str) -> String {
    format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}\n---\n")
}

/// By the deletion of the ManagedResource, of the Namespace, and by dropping the Namespace.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_his_own_home() {
    for way in ["managed resource", "namespace", "dropped", "not declared"] {
        let test = Test::shared("home").await;
        let own = if way == "not declared" { String::new() } else { namespace(&test.ns) };
        // As long as the Namespace lives, whoever has to finish that is waited for.
        let finalizers =
            if way == "managed resource" { String::new() } else { format!("  finalizers: [{FOREIGN_FINALIZER}]\n") };
        let set_finalizers = test.config_map("held", "one").replace("metadata:\n", &format!("metadata:\n{finalizers}"));
        let manifests = [own, set_finalizers, test.config_map("a", "one")].concat();
        let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mr"},
            "stringData": {"objects.yaml": manifests}});
        test.mr("mr", &["mr"], json!({"protection": {"mode": "Off"}})).await;
        let reported = test.alice.send("create", &body.to_string()).await;
        let is_warned = printed(&reported).contains("itself lives in");
        assert_eq!(is_warned, way != "not declared", "told at the door: {}", printed(&reported));
        test.applied("mr").await;
        match way {
            "managed resource" => test.delete("managedresources", "mr").await,
            "namespace" | "not declared" => test.delete("namespaces", &test.ns).await,
            _ => test.secret("mr", &test.config_map("a", "one")).await,
        }
        test.gone("managedresources", "mr").await;
        // What holds the object is somebody else's, and not ours to wait for.
        if way != "managed resource" {
            test.merge("configmaps", "held", "x", &json!({"metadata": {"finalizers": null}})).await;
        }
        test.gone("namespaces", &test.ns).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_declare_the_home_of_the_other_end_both() {
    let one = Test::shared("one").await;
    let two = Test::shared("two").await;
    one.declare("mr", &[namespace(&two.ns), one.config_map("a", "one")].concat()).mode("Off").await;
    two.declare("mr", &[namespace(&one.ns), two.config_map("a", "one")].concat()).mode("Off").await;
    one.delete("managedresources", "mr").await;
    one.gone("managedresources", "mr").await;
    two.gone("managedresources", "mr").await;
    one.gone("namespaces", &one.ns).await;
    two.gone("namespaces", &two.ns).await;
}

/// A ManagedResource whose home lives on still waits for what it has to delete.
#[tokio::test(flavor = "multi_thread")]
async fn other_namespaces_are_waited_for() {
    let test = Test::shared("waits").await;
    let inner = Test::within(test.cluster.clone(), &format!("inner-{}", test.ns));
    let managed = inner.config_map("held", "one").with_metadata(&format!("finalizers: [{FOREIGN_FINALIZER}]"));
    test.declare("mr", &[namespace(&inner.ns), managed].concat()).mode("Off").await;
    test.delete("namespaces", &test.ns).await;
    test.message("mr", "DeletionPending", &["held"]).await;
    nothing_happens_for(Duration::from_secs(6), "the ManagedResource goes").await;
    assert!(test.get("managedresources", "mr").await.is_some());
    inner.merge("configmaps", "held", "x", &json!({"metadata": {"finalizers": null}})).await;
    test.gone("managedresources", "mr").await;
    inner.gone("namespaces", &inner.ns).await;
    test.gone("namespaces", &test.ns).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_of_the_cluster_are_let_go_and_never_deleted() {
    let test = Test::on(Cluster::shared_bare().await, "spared").await;
    let replica = Replica::of_test(&test).await;
    replica.start();
    let names = ["default", "kube-public", "kube-system", "kube-node-lease"];
    let labelled = |name: &str| {
        format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{a: {}}}}}}}\n---\n", test.ns)
    };
    let all: String = names.iter().map(|name| labelled(name)).collect();
    let mut uids = Vec::new();
    for name in names {
        uids.push(test.uid("namespaces", name).await);
    }
    for way in ["dropped", "deleted"] {
        test.declare("mr", &[&all[..], &test.config_map("a", "one")].concat()).class(&test.ns).await;
        for name in names {
            test.has("namespaces", name, PROTECTION, "deny").await;
        }
        if way == "dropped" {
            test.redeclare("mr", &test.config_map("a", "two")).await;
            test.eventually("an Event that says so", || async {
                let reported = test.events("Spared").await;
                if reported.iter().any(|note| note.contains("Namespace kube-node-lease")) {
                    Ok(())
                } else {
                    Err(format!("{reported:?}"))
                }
            })
            .await;
        } else {
            test.delete("managedresources", "mr").await;
            test.gone("managedresources", "mr").await;
        }
        for (name, uid) in names.iter().zip(&uids) {
            let live = test.get("namespaces", name).await.unwrap();
            assert_eq!(text(&live, "/metadata/uid"), *uid);
            assert_eq!(live["metadata"]["deletionTimestamp"], Value::Null, "{way}: {name}");
            assert_eq!(live.pointer(PROTECTION), None, "{way}: {name}");
        }
    }
}
