//! A definition with a conversion webhook that is not there, without a proxy: the API server itself says what is wrong.
use std::time::{Duration, Instant};

use holdfast_e2e::audit::AuditLog;
use holdfast_testing::Definition;
use serde_json::json;

use super::super::Stage;
use super::group;
use crate::harness::Test;

const TURNS: usize = 15;

fn definition(test: &Test, conversion: bool) -> serde_json::Value {
    let webhook = json!({
        "strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {
            "service": {"name": "dead", "namespace": test.ns},
        }},
    });
    let conversion = if conversion { webhook } else { json!({"strategy": "None"}) };
    Definition::new(&group(test), "Part").versions(&[("v2", true), ("v1", true)]).conversion(conversion).object()
}

/// Defines the kind, stores an object in its old version, and has a webhook that does not exist convert it.
async fn break_conversion(test: &Test) {
    let resource = |version: &str| format!("{}/{version}/parts", group(test));
    test.create("customresourcedefinitions", &definition(test, false)).await;
    test.eventually("the kind to be served", || async {
        test.call("GET", &format!("/apis/{}", resource("v1")), None).await.map_err(|error| error.to_string())
    })
    .await;
    let old = json!({"apiVersion": format!("{}/v1", group(test)), "kind": "Part", "metadata": {"name": "old"}});
    test.create(&resource("v1"), &old).await;
    test.try_apply("customresourcedefinitions", &definition(test, true)).await.unwrap();
    // The API server's own store of these objects has to notice.
    tokio::time::sleep(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_cannot_be_converted_holds_up_no_other() {
    let stage = Stage::set("convert", &[]).await;
    let test = &stage.test;
    let resource = |version: &str| format!("{}/{version}/parts", group(test));
    break_conversion(test).await;

    stage.replica.start();
    let part = json!({
        "apiVersion": format!("{}/v2", group(test)), "kind": "Part",
        "metadata": {"name": "p", "namespace": test.ns}, "spec": {"size": 2},
    });
    // Objects that are edited again and again count as fought over: so there are many.
    let config_maps = |prefix: &str| -> String {
        (0..TURNS).map(|turn| test.config_map(&format!("{prefix}-{turn}"), "one")).collect()
    };
    stage.submit("mr", &format!("{part}\n---\n{}", config_maps("beside"))).await;
    stage.submit("other", &[config_maps("a"), test.config_map("b", "one")].concat()).await;
    test.applied("other").await;
    test.has("configmaps", "beside-0", "/data/k", "one").await;
    let message = test.message("mr", "ApplyFailed", &["Part", "/p (", "its watch fails"]).await;
    eprintln!("{message}");

    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    let begin = Instant::now();
    let mut slowest = Duration::ZERO;
    for turn in 0..TURNS {
        for name in ["beside", "a"].map(|prefix| format!("{prefix}-{turn}")) {
            let edited = Instant::now();
            test.merge("configmaps", &name, "somebody", &json!({"data": {"k": "edited"}})).await;
            test.has("configmaps", &name, "/data/k", "one").await;
            slowest = slowest.max(edited.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    let window = begin.elapsed();
    test.secret("other", &test.config_map("a-0", "two")).await;
    test.has("configmaps", "a-0", "/data/k", "two").await;
    test.gone("configmaps", "b").await;
    let requests = log.read_of(&stage.account.user).unwrap();
    let tries = requests.iter().filter(|request| request.resource == "parts").count();
    eprintln!("{tries} requests for the sick kind in {window:?}, repairs of others in {slowest:?} at most");
    assert!(u64::try_from(tries).unwrap() < window.as_secs(), "{tries} requests for the sick kind in {window:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}: somebody waited");

    // It is mended, and held at once.
    test.try_apply("customresourcedefinitions", &definition(test, false)).await.unwrap();
    let begin = Instant::now();
    test.has(&resource("v2"), "p", "/spec/size", 2).await;
    test.applied("mr").await;
    eprintln!("well again after {:?}", begin.elapsed());
    test.message("mr", "ApplySucceeded", &["All resources are applied."]).await;
}
