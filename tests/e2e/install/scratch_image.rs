//! Images FROM scratch: nothing is there but our program.
use std::collections::BTreeSet;

use holdfast_e2e::player::WITHOUT_AUTHORITIES;

use crate::harness::{CONTROLLER, Cluster, SYSTEM, Test, WEBHOOK, protects};

/// The played pods have no authorities of the system, and work: they trust the one that the service account names.
#[tokio::test(flavor = "multi_thread")]
async fn both_programs_work_without_authorities_of_the_system() {
    let test = Test::on(Cluster::shared().await, "scratch").await;
    let player = &test.cluster.player;
    for deployment in [CONTROLLER, WEBHOOK] {
        for pod in player.pods_of(deployment) {
            assert!(pod.ready && pod.restarts == 0, "{pod}");
            let pid = player.pid(SYSTEM, &pod.name).unwrap();
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
            let environment: BTreeSet<&[u8]> = environment.split(|byte| *byte == 0).collect();
            for (name, value) in WITHOUT_AUTHORITIES {
                assert!(environment.contains(format!("{name}={value}").as_bytes()), "{pod}: {name}");
            }
        }
    }
    test.declare("mr", &test.config_map("a", "one")).await;
    protects(&test, &["patch", "configmap", "a", "-p", r#"{"data":{"k":"two"}}"#]).await;
}
