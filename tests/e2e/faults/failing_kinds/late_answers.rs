//! Answers that come, but later than a pass waits for them.
use std::time::{Duration, Instant};

use holdfast_e2e::fault_proxy::{Fault, Request, Rule};
use serde_json::json;

use super::super::Stage;
use super::{define, manifest, resource};
use crate::harness::within;

/// Longer than a pass waits for something that is above suspicion.
const LATE: Duration = Duration::from_millis(1800);

/// Where `spec.adopt` wants it to be looked first, what is seen late counts, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_looked_at_first_is_created_although_the_answer_is_late() {
    let stage = Stage::set("late", &[]).await;
    let test = &stage.test;
    define(test, 1).await;
    let theirs = json!({
        "apiVersion": format!("{}/v1", super::group(test)), "kind": "K0",
        "metadata": {"name": "theirs", "namespace": test.ns}, "spec": {"k": "theirs"},
    });
    test.create(&resource(test, 0), &theirs).await;
    let is_late = |request: &Request| request.path.contains("/k0s/");
    stage.proxy.add(Rule::new(Fault::Delay(LATE), is_late));
    stage.replica.start();
    // Others get their answers all the time, so that whoever is late stands out.
    let rest = async {
        for turn in 0..u32::MAX {
            test.secret("other", &test.config_map("c", &turn.to_string())).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    stage.submit("other", &test.config_map("c", "one")).await;
    test.applied("other").await;
    tokio::select! {
        () = rest => {}
        () = sees_late(&stage) => {}
    }
    stage.proxy.clear();
    test.delete(&resource(test, 0), "theirs").await;
    within(Duration::from_secs(70), "it to be created when it is free", || async {
        let object = test.try_get(&resource(test, 0), "theirs").await?.ok_or("it is not there")?;
        if object["spec"]["k"] == "one" { Ok(()) } else { Err(object.to_string()) }
    })
    .await;
    test.applied("mr").await;
}

async fn sees_late(stage: &Stage) {
    let test = &stage.test;
    stage.proxy.forget();
    let begin = Instant::now();
    let names = ["ours", "theirs"];
    let objects = names.map(|name| manifest(test, 0, name, "one")).concat();
    test.declare("mr", &[objects, test.config_map("beside", "one")].concat())
        .class(&stage.class)
        .with("adopt", "Never")
        .write()
        .await;
    test.has("configmaps", "beside", "/data/k", "one").await;
    eprintln!("beside it after {:?}", begin.elapsed());
    within(Duration::from_secs(30), "it to be created", || async {
        test.try_get(&resource(test, 0), "ours").await?.map(|_| ()).ok_or_else(|| "it is not there".to_owned())
    })
    .await;
    eprintln!("created after {:?}", begin.elapsed());
    let looks = |name: &str| {
        let is_look = |request: &Request| request.method == "GET" && request.path.ends_with(&format!("/k0s/{name}"));
        stage.proxy.entries().iter().filter(|entry| is_look(&entry.request)).count()
    };
    assert!(looks("ours") <= 3, "looked at {} times", looks("ours"));
    let why = "it exists already";
    within(Duration::from_secs(30), "it to be said", || async {
        let mr = test.try_get("managedresources", "mr").await?.ok_or("there is none")?;
        let printed = mr["status"]["conditions"].to_string();
        if printed.contains(why) { Ok(()) } else { Err(printed) }
    })
    .await;
    // That does not change while it is asked again and again.
    stage.proxy.forget();
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mr = test.get("managedresources", "mr").await.unwrap();
        let printed = mr["status"]["conditions"].to_string();
        assert!(printed.contains(why), "{printed}");
    }
    let requests = looks("theirs");
    eprintln!("looked at {requests} times in 6 s");
    assert!(requests <= 4, "{requests}");
    test.has(&resource(test, 0), "theirs", "/spec/k", "theirs").await;
}

/// A look that the server answers with an error says nothing of the others.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_at_holds_up_no_other() {
    let stage = Stage::set("blind", &[]).await;
    let test = &stage.test;
    define(test, 1).await;
    let is_look = |request: &Request| request.method == "GET" && request.path.contains("/k0s/");
    stage.proxy.add(Rule::new(Fault::Answer { code: 500, retry_after: None }, is_look));
    stage.replica.start();
    test.declare("mr", &[manifest(test, 0, "o", "one"), test.config_map("beside", "one")].concat())
        .class(&stage.class)
        .with("adopt", "Never")
        .write()
        .await;
    test.has("configmaps", "beside", "/data/k", "one").await;
    let message = test.message("mr", "ApplyFailed", &["K0", "/o (", "a fault was injected"]).await;
    eprintln!("{message}");
    assert!(test.get(&resource(test, 0), "o").await.is_none(), "nobody knows whether it is somebody's");
    stage.proxy.clear();
    test.has(&resource(test, 0), "o", "/spec/k", "one").await;
    test.applied("mr").await;
}
