//! A Secret that the API server cannot give out, such as one whose encryption key is lost: a matter of those that reference it.
use std::time::Duration;

use holdfast_e2e::fault_proxy::{Fault, Request, Rule};

use super::Stage;
use crate::harness::{nothing_happens_for, text, within};

async fn stops_no_other(topic: &str, fault: Fault) {
    let stage = Stage::set(topic, &[]).await;
    let (test, case) = (&stage.test, format!("{fault:?}"));
    stage.replica.start();
    let declared = |names: &[&str]| names.iter().map(|name| test.config_map(name, "one")).collect::<String>();
    for (mr, names) in [("lost", &["s", "t"][..]), ("prunes", &["a", "b"]), ("goes", &["g"])] {
        stage.submit(mr, &declared(names)).await;
        test.applied(mr).await;
    }
    stage.replica.kill().await;

    test.secret("lost", &test.config_map("s", "two")).await;
    test.secret("prunes", &declared(&["a"])).await;
    test.delete("managedresources", "goes").await;
    let secret = format!("/api/v1/namespaces/{}/secrets/lost", test.ns);
    stage.proxy.add(Rule::new(fault, move |request: &Request| request.path == secret));
    stage.proxy.forget();
    stage.replica.start();
    let limit = Duration::from_secs(60);
    for name in ["b", "g"] {
        within(limit, "it to be deleted", || async {
            test.get("configmaps", name).await.map_or(Ok(()), |_| Err(format!("{name} is there")))
        })
        .await;
    }
    test.gone("managedresources", "goes").await;
    let message = test.message("lost", "CannotReadSecret", &["could not read secret 'lost'"]).await;
    eprintln!("{case}: {message}");
    if case.contains("500") {
        assert!(message.contains("a fault was injected"), "in the words of the server: {message}");
    }
    // What it declared before is not known, so it is all still there.
    test.has("configmaps", "t", "/data/k", "one").await;
    test.has("configmaps", "s", "/data/k", "one").await;
    test.applied("prunes").await;

    // It says the same as long as it lasts, and asks ever more seldom.
    stage.proxy.forget();
    nothing_happens_for(Duration::from_secs(6), "it is asked for again and again").await;
    let mr = test.get("managedresources", "lost").await.unwrap();
    assert_eq!(test.reason("lost", "CannotReadSecret").await, message, "{mr}");
    let entries = stage.proxy.entries();
    let written = entries.iter().filter(|entry| entry.request.path.ends_with("/managedresources/lost/status")).count();
    let read = entries.iter().filter(|entry| entry.request.path.ends_with("/secrets/lost")).count();
    eprintln!("{case}: read {read} times and written {written} times in 6 s");
    assert!(written == 0 && read < 12, "{case}: read {read} times, written {written} times");

    stage.proxy.clear();
    within(limit, "it to be applied when it is well again", || async {
        let object = test.try_get("configmaps", "s").await?.ok_or("it is not there")?;
        Some(()).filter(|()| text(&object, "/data/k") == "two").ok_or(object.to_string())
    })
    .await;
    test.gone("configmaps", "t").await;
    test.applied("lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_given_out_does_not_stop_others() {
    stops_no_other("lost", Fault::Answer { code: 500, retry_after: None }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_answered_does_not_stop_others() {
    stops_no_other("mute-secret", Fault::Hang).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_which_there_is_too_much_does_not_stop_others() {
    stops_no_other("busy-secret", Fault::Answer { code: 429, retry_after: Some(1) }).await;
}

/// All of the server fails for a while after a start: what nobody can read may be wanted, so nothing is pruned then.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_nobodys_lost_secret() {
    let stage = Stage::set("no-outage", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    for (mr, names) in [("gives", &["a", "b"][..]), ("takes", &["c"])] {
        stage.submit(mr, &names.iter().map(|name| test.config_map(name, "one")).collect::<String>()).await;
        test.applied(mr).await;
    }
    let uid = test.uid("configmaps", "b").await;
    stage.replica.kill().await;
    // It moves from one to the other.
    test.secret("gives", &test.config_map("a", "one")).await;
    test.secret("takes", &["b", "c"].map(|name| test.config_map(name, "one")).concat()).await;
    let place = format!("/namespaces/{}/", test.ns);
    let is_read = |path: &str| path == "/api/v1/namespaces" || path == "/api/v1/configmaps";
    let is_out = move |request: &Request| {
        let path = &request.path;
        let is_own = path.contains("/leases/") || path.contains("/secrets/holdfast");
        is_read(path) || path.contains(&place) && !is_own
    };
    // It starts, and knows the ManagedResources; nothing else answers.
    stage.proxy.add(Rule::new(Fault::Answer { code: 503, retry_after: None }, is_out));
    stage.proxy.forget();
    stage.replica.start();
    tokio::time::sleep(Duration::from_secs(14)).await;
    let requests = stage.proxy.entries().iter().filter(|entry| entry.request.path.ends_with("/secrets/takes")).count();
    assert!(requests > 3, "asked {requests} times");
    stage.proxy.clear();
    for mr in ["gives", "takes"] {
        test.applied(mr).await;
    }
    within(Duration::from_secs(60), "it to be handed over", || async {
        let mr = test.try_get("managedresources", "takes").await?.ok_or("there is none")?;
        let managed = mr["status"]["resources"].to_string();
        if managed.contains("\"b\"") { Ok(()) } else { Err(managed) }
    })
    .await;
    assert_eq!(test.uid("configmaps", "b").await, uid, "nobody deleted it");
}
