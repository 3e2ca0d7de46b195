//! Processes that die at a bad moment.
use std::fmt::Write;
use std::time::Duration;

use holdfast_e2e::control_plane::Component;
use rustix::process::Signal;

use crate::harness::Test;

const OBJECTS: usize = 300;

async fn count(test: &Test) -> usize {
    let all = test.list("configmaps").await;
    all.iter().filter(|object| object["metadata"]["name"].as_str().unwrap_or_default().starts_with("many-")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_lose_nothing() {
    let test = Test::own("restart").await;
    let mut manifests = String::new();
    for number in 0..OBJECTS {
        let _ = write!(manifests, "{}", test.config_map(&format!("many-{number}"), "one"));
    }
    test.declare("many", &manifests).write().await;
    let controller = test.cluster.controller().unwrap();
    let seen = loop {
        let seen = count(&test).await;
        if seen > 5 {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    controller.signal(Signal::KILL).unwrap();
    eprintln!("the controller was killed after {seen} of {OBJECTS} objects were seen");
    test.eventually("the controller to run again", || async {
        let pod = test.cluster.controller()?;
        if pod.restarts > controller.restarts && pod.ready { Ok(()) } else { Err(pod.to_string()) }
    })
    .await;
    test.applied("many").await;
    assert_eq!(count(&test).await, OBJECTS);
    let mr = test.get("managedresources", "many").await.unwrap();
    assert_eq!(mr["status"]["resources"].as_array().unwrap().len(), OBJECTS);

    api_server_is_away(&test).await;
    changes_while_the_controller_is_away(&test).await;

    // What the first run created before it died is deleted with the rest.
    test.alice.does("delete managedresource many --timeout=45s").await;
    assert_eq!(count(&test).await, 0, "nothing is leaked");
}

async fn api_server_is_away(test: &Test) {
    let restarts = test.cluster.controller().unwrap().restarts;
    // Shorter than the ten seconds after which a leader that cannot renew its lease has to give up.
    test.cluster.control_plane.kill_component(Component::ApiServer).await.unwrap();
    test.cluster.control_plane.start_component(Component::ApiServer).await.unwrap();
    // Edits that the webhook lets through must be seen again by the watches.
    let patch = r#"patch configmap many-7 -p {"data":{"k":"x"}} --as=system:serviceaccount:kube-system:generic-garbage-collector"#;
    test.admin.does(patch).await;
    test.has("configmaps", "many-7", "/data/k", "one").await;
    let output = test.alice.with(&["patch", "configmap", "many-8", "-p", r#"{"data":{"k":"x"}}"#]).await;
    assert!(output.refusal().unwrap().contains("is managed by"));
    assert_eq!(test.cluster.controller().unwrap().restarts, restarts, "it does not die of it");
}

async fn changes_while_the_controller_is_away(test: &Test) {
    let controller = test.cluster.controller().unwrap();
    controller.signal(Signal::STOP).unwrap();
    let exempt = "--as=system:serviceaccount:kube-system:generic-garbage-collector";
    test.admin.does(&format!(r#"patch configmap many-1 -p {{"data":{{"k":"x"}}}} {exempt}"#)).await;
    test.admin.does(&format!("delete configmap many-2 {exempt}")).await;
    controller.signal(Signal::KILL).unwrap();
    test.has("configmaps", "many-1", "/data/k", "one").await;
    test.has("configmaps", "many-2", "/data/k", "one").await;
}
