//! From an older chart to this one and back, and what an uninstalled release leaves behind.
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_e2e::control_plane::User;
use holdfast_e2e::edit_load::EditLoad;
use holdfast_e2e::{cache, install};
use serde_json::{Value, json};

use crate::harness::{CONTROLLER, Cluster, LEASES, SYSTEM, Test, WEBHOOK, text, within};

const NAME: &str = "gardener-resource-manager";
/// What our programs make for themselves, and whose it is.
const OWN: [(&str, &str, &str); 3] = [
    (LEASES, NAME, CONTROLLER),
    ("secrets", "holdfast-digest-key", CONTROLLER),
    ("secrets", "holdfast-webhook-tls", WEBHOOK),
];

async fn bare(topic: &str) -> (Test, Test) {
    let test = Test::on(Arc::new(Cluster::bare().await), topic).await;
    let system = Test::within(Arc::clone(&test.cluster), SYSTEM);
    (test, system)
}

async fn uninstall(test: &Test) {
    install::uninstall(&test.cluster.control_plane).await.unwrap();
}

async fn install(test: &Test) {
    install::install(&test.cluster.control_plane, &test.cluster.player, &[]).await.unwrap();
}

/// The kinds and names of an object's owners.
async fn owners(system: &Test, resource: &str, name: &str) -> Result<Vec<String>, String> {
    let object = system.try_get(resource, name).await?.ok_or_else(|| format!("there is no {name}"))?;
    let references = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    Ok(references.iter().map(|owner| format!("{}/{}", text(owner, "/kind"), text(owner, "/name"))).collect())
}

async fn all_are_owned(system: &Test) {
    for (resource, name, account) in OWN {
        system
            .eventually(&format!("an owner of {name}"), || async {
                let owners = owners(system, resource, name).await?;
                if owners == [format!("ServiceAccount/{account}")] { Ok(()) } else { Err(format!("{owners:?}")) }
            })
            .await;
    }
}

async fn none_remains(system: &Test) -> Duration {
    let begin = Instant::now();
    for (resource, name, _) in OWN {
        system.gone(resource, name).await;
    }
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_refused_all_the_way_from_the_old_chart_and_back() {
    let (test, system) = bare("upgrade").await;
    let (control_plane, player) = (&test.cluster.control_plane, &test.cluster.player);
    install::install_chart(control_plane, player, &cache::workspace().join(install::OLD_CHART)).await.unwrap();
    test.declare("mr", &test.config_map("a", "one")).await;
    for (resource, name, _) in OWN {
        assert_eq!(owners(&system, resource, name).await, Ok(vec![]), "{name} of the old chart");
    }
    // Values of the old chart without the defaults of the new one are told for what they are.
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    let reuse = ["upgrade", install::RELEASE, &chart, "--dry-run=server"];
    let refusal = system.admin.helm(&[&reuse[..], &["--reuse-values"]].concat()).await.refusal().unwrap();
    assert!(refusal.contains("--reset-then-reuse-values"), "{refusal}");
    system.admin.helm(&[&reuse[..], &["--reset-then-reuse-values"]].concat()).await.success().unwrap();

    let alice = control_plane.client(User::Alice).unwrap();
    let edits = EditLoad::start(alice, &test.path("configmaps", "a"));
    install::upgrade(control_plane, player, &[]).await.unwrap();
    all_are_owned(&system).await;
    test.redeclare("mr", &test.config_map("a", "two")).await;
    install::rollback(control_plane, player).await.unwrap();
    test.redeclare("mr", &test.config_map("a", "three")).await;
    install::upgrade(control_plane, player, &[]).await.unwrap();
    test.redeclare("mr", &test.config_map("a", "four")).await;
    let notes = system.admin.helm(&["get", "notes", install::RELEASE]).await.success().unwrap();
    assert!(notes.contains("With a finalizer now: 1."), "{notes}");
    let edits = edits.end().await.unwrap();
    eprintln!("during two upgrades and a rollback: {}", edits.described());
    assert!(edits.are_all_refused(100), "{edits:#?}");
    let uid = test.uid("configmaps", "a").await;

    // A new installation right after: it does not wait for the Lease of the former one.
    uninstall(&test).await;
    install::install(control_plane, player, &[]).await.unwrap();
    let begin = Instant::now();
    system
        .eventually("the new controller to lead", || async {
            let pod = test.cluster.controller()?.name;
            let lease = system.try_get(LEASES, NAME).await?.unwrap_or_default();
            if lease["spec"]["holderIdentity"] == pod.as_str() { Ok(()) } else { Err(format!("{lease}")) }
        })
        .await;
    let waited = begin.elapsed();
    eprintln!("the new controller led {:.1} s after it was available", waited.as_secs_f64());
    assert!(waited < Duration::from_secs(10), "a lease lasts 15 s: {waited:?}");
    all_are_owned(&system).await;
    test.redeclare("mr", &test.config_map("a", "five")).await;
    assert_eq!(test.uid("configmaps", "a").await, uid);

    uninstall(&test).await;
    let taken = none_remains(&system).await;
    eprintln!("nothing of our own was left {:.1} s after helm uninstall", taken.as_secs_f64());
    assert_eq!(test.uid("configmaps", "a").await, uid, "managed objects stay");
    assert!(test.get("managedresources", "mr").await.is_some());
}

/// Held for an hour by another program.
fn foreign_lease(holder: &str) -> Value {
    let now = format!("{:.6}", jiff::Timestamp::now());
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 3600, "acquireTime": now, "renewTime": now, "leaseTransitions": 7},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_another_program_stays_when_we_go() {
    let (test, system) = bare("foreign").await;
    test.create("namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})).await;

    // It was made by the other program.
    system.try_apply_as("original", LEASES, &foreign_lease("original-0")).await.unwrap();
    let before = system.get(LEASES, NAME).await.unwrap();
    install(&test).await;
    system
        .eventually("our controller to wait", || async {
            let log = test.cluster.player.logs(SYSTEM, &test.cluster.controller()?.name);
            if log.contains("waiting: another replica leads") { Ok(()) } else { Err(log) }
        })
        .await;
    uninstall(&test).await;
    system.gone("secrets", "holdfast-digest-key").await;
    assert_eq!(system.get(LEASES, NAME).await, Some(before), "nobody has written it");

    // We have made it, and the other program has taken it.
    system.delete(LEASES, NAME).await;
    install(&test).await;
    all_are_owned(&system).await;
    system.try_apply_as("original", LEASES, &foreign_lease("original-0")).await.unwrap();
    within(Duration::from_secs(30), "our controller to let it go", || async {
        let owners = owners(&system, LEASES, NAME).await?;
        if owners.is_empty() { Ok(()) } else { Err(format!("{owners:?}")) }
    })
    .await;
    let before = system.get(LEASES, NAME).await.unwrap();
    uninstall(&test).await;
    system.gone("secrets", "holdfast-digest-key").await;
    assert_eq!(system.get(LEASES, NAME).await, Some(before), "it is still the other program's");
}
