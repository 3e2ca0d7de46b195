//! The server has too much to do: said of one resource, of several at once, or of all of us.
use std::time::{Duration, Instant};

use holdfast_e2e::fault_proxy::{Fault, Request, Rule};
use serde_json::json;

use super::super::Stage;
use crate::harness::nothing_happens_for;

/// What the API server's priority and fairness answers.
const FAIRNESS: (&str, &str) = ("text/plain", "Too many requests, please try again later.");
const PROXY: (&str, &str) = ("application/json", r#"{"error": "rate limit"}"#);

/// Whoever is told by no `Status` that there is too much to do sends nothing anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_no_resource_holds_all() {
    const SECONDS: u32 = 4;
    let stage = Stage::set("overload", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    for mr in ["one", "other"] {
        stage.submit(mr, &test.config_map(mr, "one")).await;
        test.applied(mr).await;
    }
    for (round, content) in [FAIRNESS, PROXY].into_iter().enumerate() {
        let path = format!("/api/v1/namespaces/{}/configmaps/one", test.ns);
        let fault = Fault::Raw { code: 429, retry_after: Some(SECONDS), content };
        stage.proxy.add(Rule::new(fault, move |request: &Request| request.path == path).nth(1));
        stage.proxy.forget();
        let value = format!("round {round}");
        test.secret("one", &test.config_map("one", &value)).await;
        test.eventually("the refusal", || async {
            let refused = stage.proxy.entries().into_iter().find(|entry| entry.code == Some(429));
            refused.map(|_| ()).ok_or("nothing was refused").map_err(str::to_owned)
        })
        .await;
        let refused = Instant::now();
        test.secret("other", &test.config_map("other", &value)).await;
        test.has("configmaps", "other", "/data/k", value.as_str()).await;
        let waited = refused.elapsed();
        test.has("configmaps", "one", "/data/k", value.as_str()).await;
        eprintln!("{content:?}: another ManagedResource went on after {waited:?}");
        assert!(waited > Duration::from_millis(u64::from(SECONDS) * 1000 - 500), "{waited:?}");
        assert!(waited < Duration::from_secs(12), "{waited:?}");
        stage.proxy.clear();
    }
}

/// An attempt that waits for its turn looks again whether it is still wanted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wanted_any_more_is_not_tried_again() {
    const SECONDS: u32 = 5;
    let stage = Stage::set("unwanted", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    stage.submit("mr", &test.config_map("a", "one")).await;
    test.applied("mr").await;
    let path = format!("/api/v1/namespaces/{}/configmaps/a", test.ns);
    let is_write = {
        let path = path.clone();
        move |request: &Request| request.path == path && request.is_write()
    };
    let fault = Fault::Raw { code: 429, retry_after: Some(SECONDS), content: FAIRNESS };
    stage.proxy.add(Rule::new(fault, is_write.clone()).nth(1));
    stage.proxy.forget();
    test.secret("mr", &test.config_map("a", "two")).await;
    test.eventually("the refusal", || async {
        let refused = stage.proxy.entries().into_iter().find(|entry| entry.code == Some(429));
        refused.map(|_| ()).ok_or("nothing was refused").map_err(str::to_owned)
    })
    .await;
    let ignored = json!({"metadata": {"annotations": {"resources.gardener.cloud/ignore": "true"}}});
    test.merge("managedresources", "mr", "somebody", &ignored).await;
    // Nothing is written for a while, so nothing says that it is known; the watch takes moments.
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.proxy.forget();
    nothing_happens_for(Duration::from_secs(u64::from(SECONDS) + 2), "anything is written").await;
    test.reason("mr", "ManagedResourceIgnored").await;
    // But for the label that says so.
    let entries = stage.proxy.entries();
    let written: Vec<_> = entries.iter().filter(|entry| is_write(&entry.request)).collect();
    test.has("configmaps", "a", "/data/k", "one").await;
    assert!(written.len() <= 1, "{written:#?}");
    stage.proxy.clear();
    let ignored = json!({"metadata": {"annotations": {"resources.gardener.cloud/ignore": null}}});
    test.merge("managedresources", "mr", "somebody", &ignored).await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.applied("mr").await;
}
