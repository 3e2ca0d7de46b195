//! ConfigMaps and Secrets that a garbage collector deletes when nothing refers to them any more.
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, ORIGIN, PROTECTION, Replica, Test, nothing_happens_for, text};

const COLLECTABLE: &str = "resources.gardener.cloud/garbage-collectable-reference";
const DESCRIPTION: &str = "/metadata/annotations/resources.gardener.cloud~1description";
const RETAINED: [(&str, &str); 2] = [("configmaps", "old"), ("secrets", "old")];

fn labelled(manifest: &str) -> String {
    manifest.replacen("metadata:\n", &format!("metadata:\n  labels: {{{COLLECTABLE}: 'true'}}\n"), 1)
}

/// What a collector deletes, and the same label on something that it does not.
fn old(test: &Test) -> String {
    let secret = test.config_map("old", "b25l").replace("kind: ConfigMap", "kind: Secret");
    [labelled(&test.config_map("old", "one")), labelled(&secret), labelled(&test.deployment("web"))].concat()
}

async fn is_remaining(test: &Test, uids: &[String]) {
    for ((resource, name), uid) in RETAINED.into_iter().zip(uids) {
        test.has(resource, name, PROTECTION, Value::Null).await;
        let object = test.get(resource, name).await.expect("it is kept");
        assert_eq!(text(&object, "/metadata/uid"), *uid);
        assert_eq!(object["metadata"]["labels"][COLLECTABLE], "true", "for the collector");
        assert_eq!(object.pointer(DESCRIPTION), None, "nobody manages it");
        assert_eq!(object.pointer(ORIGIN), Some(&json!(format!("{}/mr", test.ns))), "whose it was");
    }
}

/// Whoever else says of an object that it may be collected is heard as well.
async fn foreign_labels_count(test: &Test, new: &str) {
    let label = json!({"metadata": {"labels": {COLLECTABLE: "true"}}});
    test.redeclare("mr", &[old(test), new.to_owned(), test.config_map("theirs", "one")].concat()).await;
    test.merge("configmaps", "theirs", "somebody", &label).await;
    test.redeclare("mr", &[old(test), new.to_owned()].concat()).await;
    test.has("configmaps", "theirs", PROTECTION, Value::Null).await;
    assert!(test.get("configmaps", "theirs").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_garbage_collector_what_it_deletes_is_kept() {
    let test = Test::on(Cluster::shared_bare().await, "collected").await;
    let account = Account::create(&test, "controller").await;
    let replica = Replica::direct(&test.cluster, &test.ns, &account.token, &test.ns).in_namespace(&test.ns);
    let replica = replica.with(&["--garbage-collector", "--pending-period=500ms"]);
    replica.start();
    let new = test.config_map("new", "one");
    let plain = test.config_map("plain", "one");
    test.declare("mr", &[old(&test), new.clone(), plain].concat()).class(&test.ns).with("adopt", "Never").await;
    let uids = [test.uid("configmaps", "old").await, test.uid("secrets", "old").await];

    // Not while it is unknown what is declared.
    test.secret("mr", &format!("{new}kind: [\n")).await;
    test.reason("mr", "DecodingFailed").await;
    test.has("configmaps", "old", PROTECTION, "deny").await;

    for is_restarted in [false, true] {
        test.redeclare("mr", &new).await;
        test.gone("configmaps", "plain").await;
        test.gone("deployments", "web").await;
        is_remaining(&test, &uids).await;
        let mr = test.get("managedresources", "mr").await.unwrap();
        assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), 1, "{}", mr["status"]);
        let reported = test.events("Kept").await;
        assert!(
            reported.iter().any(|note| note.contains("garbage collector") && note.contains("/old")),
            "{reported:?}"
        );
        // Nobody repairs it or creates it anew.
        test.merge("configmaps", "old", "somebody", &json!({"data": {"k": "x"}})).await;
        if is_restarted {
            replica.kill().await;
            replica.start();
        }
        test.resync("mr").await;
        nothing_happens_for(std::time::Duration::from_secs(2), "it is repaired").await;
        test.has("configmaps", "old", "/data/k", "x").await;
        // Whoever goes back to it finds it, and holds it.
        test.redeclare("mr", &[old(&test), new.clone()].concat()).await;
        for (resource, name) in RETAINED {
            test.has(resource, name, PROTECTION, "deny").await;
        }
        test.has("configmaps", "old", "/data/k", "one").await;
        assert_eq!([test.uid("configmaps", "old").await, test.uid("secrets", "old").await], uids);
        test.merge("configmaps", "old", "somebody", &json!({"data": {"k": "x"}})).await;
        test.has("configmaps", "old", "/data/k", "one").await;
    }

    foreign_labels_count(&test, &new).await;

    test.delete("managedresources", "mr").await;
    test.gone("managedresources", "mr").await;
    for (resource, name) in [("configmaps", "new"), ("deployments", "web")] {
        assert!(test.get(resource, name).await.is_none(), "{name}");
    }
    is_remaining(&test, &uids).await;
    test.delete("configmaps", "old").await;
    nothing_happens_for(std::time::Duration::from_secs(1), "it is created again").await;
    assert!(test.get("configmaps", "old").await.is_none(), "the collector may delete it");
}
