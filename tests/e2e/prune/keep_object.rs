//! Objects with the annotation `keep-object`, and controllers that come and go.
use serde_json::json;

use crate::harness::{Account, Cluster, KEEP, ORIGIN, Replica, Test};

fn retained(test: &Test, name: &str, value: &str) -> String {
    let annotation = format!("metadata:\n  annotations: {{{KEEP}: 'true'}}\n");
    test.config_map(name, value).replace("metadata:\n", &annotation)
}

/// A controller of a class of this name, which does not run yet.
fn controller(test: &Test, account: &Account, class: &str) -> Replica {
    let replica = Replica::direct(&test.cluster, class, &account.token, class).in_namespace(&test.ns);
    replica.with(&["--pending-period=500ms"])
}

/// A ConfigMap has no generation: what the next controller reads in the inventory is the very version that lives, and
/// nothing more has to be learned of it but that it is to be kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_has_just_started_knows_what_is_to_be_kept() {
    let test = Test::on(Cluster::shared_bare().await, "kept").await;
    let account = Account::create(&test, "controller").await;
    let class = test.ns.clone();
    let replica = controller(&test, &account, &class);
    replica.start();
    let all = |names: &[&str]| -> String {
        let manifest = |name: &&str| match *name {
            "declared" | "ended" => retained(&test, name, "one"),
            _ => test.config_map(name, "one"),
        };
        names.iter().map(manifest).collect()
    };
    test.declare("mr", &all(&["declared", "theirs", "plain", "ended", "last"])).class(&class).await;
    test.merge("configmaps", "theirs", "alice", &json!({"metadata": {"annotations": {KEEP: "true"}}})).await;
    test.message("mr", "ApplySucceeded", &["theirs is to be kept"]).await;

    for (remaining, what) in [(&["ended", "last"][..], "dropped"), (&[][..], "its ManagedResource deleted")] {
        // The observations of the last change are written down.
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        let uids = [test.uid("configmaps", "declared").await, test.uid("configmaps", "theirs").await];
        replica.kill().await;
        replica.start();
        // It has read the inventory, and its watches have told it about everything.
        test.declare("probe", &test.config_map(&format!("probe-{}", remaining.len()), "one"))
            .class(&class)
            .write()
            .await;
        test.has("configmaps", &format!("probe-{}", remaining.len()), "/data/k", "one").await;
        if remaining.is_empty() {
            test.delete("managedresources", "mr").await;
            test.gone("managedresources", "mr").await;
        } else {
            test.redeclare("mr", &all(remaining)).await;
            test.gone("configmaps", "plain").await;
        }
        let now = [test.uid("configmaps", "declared").await, test.uid("configmaps", "theirs").await];
        assert_eq!(now, uids, "{what}");
    }
    assert!(test.get("configmaps", "last").await.is_none());
    assert!(test.get("configmaps", "ended").await.is_some(), "it is kept with its ManagedResource gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_kept_is_taken_over_by_the_new_class_as_it_is() {
    let test = Test::on(Cluster::shared_bare().await, "kept").await;
    let account = Account::create(&test, "controller").await;
    let classes = ["one", "two"].map(|name| format!("{}-{name}", test.ns));
    let [one, two] = [0, 1].map(|number| controller(&test, &account, &classes[number]));
    one.start();
    test.declare("mr", &[retained(&test, "kept", "one"), test.config_map("other", "one")].concat())
        .class(&classes[0])
        .await;
    let [before, other] = [test.uid("configmaps", "kept").await, test.uid("configmaps", "other").await];

    // Nobody of the new class is there yet: the old one has let go of it, with its marks.
    test.mr("mr", &["mr"], json!({"class": classes[1]})).await;
    test.has("managedresources", "mr", "/metadata/finalizers", serde_json::Value::Null).await;
    assert!(test.get("configmaps", "other").await.is_none(), "nobody wants it kept");
    test.has("configmaps", "kept", ORIGIN, format!("{}/mr", test.ns)).await;

    test.secret("mr", &[retained(&test, "kept", "two"), test.config_map("other", "two")].concat()).await;
    two.start();
    test.has("configmaps", "kept", "/data/k", "two").await;
    test.applied("mr").await;
    assert_eq!(test.uid("configmaps", "kept").await, before);
    assert_ne!(test.uid("configmaps", "other").await, other);
    let finalizer = format!("resources.gardener.cloud/gardener-resource-manager-{}", classes[1]);
    test.has("managedresources", "mr", "/metadata/finalizers", json!([finalizer])).await;
    // The new one holds it: it repairs it, and keeps it when it is not declared any more.
    test.merge("configmaps", "kept", "kubectl", &json!({"data": {"k": "x"}})).await;
    test.has("configmaps", "kept", "/data/k", "two").await;
    test.redeclare("mr", &test.config_map("other", "three")).await;
    assert_eq!(test.uid("configmaps", "kept").await, before);
}
