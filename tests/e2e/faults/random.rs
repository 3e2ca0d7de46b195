//! Wrong answers, silence and cut connections at random, from a fixed seed; and what a controller must not do about them.
use std::time::{Duration, Instant};

use holdfast_e2e::fault_proxy::{Entry, Fault, Request, Rule};
use http::Method;
use rustix::process::Signal;

use super::Stage;
use super::scenario::Scenario;

/// How long each act is disturbed. It goes on afterwards, so that everything may converge late, but not never.
const STORM: Duration = Duration::from_secs(6);
const GUST: Duration = Duration::from_millis(700);

/// Together a good 20 % of the requests.
fn rules(seed: u64) -> Vec<Rule> {
    let answer = |code, retry_after| Fault::Answer { code, retry_after };
    let writes = |fault, percent, salt| Rule::new(fault, Request::is_write).percent(percent, seed + salt);
    let all = |fault, percent, salt| Rule::new(fault, |_: &Request| true).percent(percent, seed + salt);
    vec![
        writes(answer(409, None), 5, 1),
        all(answer(429, Some(1)), 4, 2),
        all(answer(500, None), 4, 3),
        all(answer(503, None), 2, 4),
        all(Fault::CutBefore, 4, 5),
        all(Fault::CutAfter, 4, 6),
        all(Fault::Delay(Duration::from_millis(200)), 3, 7),
        // Each costs the ten seconds after which a call is given up.
        all(Fault::Hang, 2, 8).times(1),
    ]
}

async fn survives(seed: u64) {
    let stage = Stage::set("storm", &["--pending-period=500ms"]).await;
    let scenario = Scenario::new(&stage.test.cluster, &stage.class).await;
    let storm = async || {
        let begin = Instant::now();
        for rule in rules(seed) {
            stage.proxy.add(rule);
        }
        while begin.elapsed() < STORM {
            tokio::time::sleep(GUST).await;
            stage.proxy.cut_connections();
        }
        stage.proxy.clear();
    };
    stage.replica.start();
    tokio::join!(storm(), scenario.create());
    tokio::join!(storm(), scenario.change());
    tokio::join!(storm(), scenario.take_over());
    tokio::join!(storm(), scenario.delete());
    let entries = stage.proxy.entries();
    let faulty = entries.iter().filter(|entry| entry.is_faulty).count();
    eprintln!("seed {seed}: {} requests, {faulty} of them with faults", entries.len());
    assert!(faulty > 10, "there was a storm");
    assert!(stage.replica.is_running(), "the controller has lived through all of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_at_random_do_no_harm() {
    futures::future::join_all([100, 200, 300, 400].map(survives)).await;
}

/// When every request is refused, they become few.
#[tokio::test(flavor = "multi_thread")]
async fn without_hope_it_asks_seldom() {
    const MRS: usize = 5;
    const WATCHED: Duration = Duration::from_secs(10);
    /// Five watches, five ManagedResources of four objects: a hot loop makes thousands of requests in a second.
    const MOST_IN_A_SECOND: usize = 25;
    let stage = Stage::set("hopeless", &[]).await;
    stage.replica.start();
    let manifests = |value: &str, mr: usize| -> String {
        (0..4).map(|number| stage.test.config_map(&format!("c-{mr}-{number}"), value)).collect()
    };
    for mr in 0..MRS {
        stage.submit(&format!("mr-{mr}"), &manifests("one", mr)).await;
    }
    for mr in 0..MRS {
        stage.test.applied(&format!("mr-{mr}")).await;
    }
    for fault in [Fault::Answer { code: 500, retry_after: None }, Fault::CutBefore] {
        // Its watches go on, so that it learns of the change; then nothing is answered any more.
        let described = format!("{fault:?}");
        stage.proxy.add(Rule::new(fault, |_: &Request| true));
        for mr in 0..MRS {
            stage.test.secret(&format!("mr-{mr}"), &manifests(&described, mr)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        stage.proxy.cut_connections();
        stage.proxy.forget();
        tokio::time::sleep(WATCHED).await;
        let entries = stage.proxy.entries();
        let seconds = usize::try_from(WATCHED.as_secs()).unwrap();
        eprintln!("{described}: {} requests in {seconds} s", entries.len());
        assert!(!entries.is_empty(), "it keeps trying");
        assert!(entries.len() < MOST_IN_A_SECOND * seconds, "{described}: {} requests", entries.len());
        stage.proxy.clear();
        for mr in 0..MRS {
            for number in 0..4 {
                stage.test.has("configmaps", &format!("c-{mr}-{number}"), "/data/k", described.as_str()).await;
            }
        }
    }
}

/// Whoever is asked to come back after three seconds does not come back earlier.
#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_heeded() {
    const SECONDS: u32 = 3;
    let stage = Stage::set("later", &["--pending-period=200ms"]).await;
    let ns = stage.test.ns.clone();
    let path = |rest: &str| format!("/api/v1/namespaces/{ns}/{rest}");
    let status = format!("/apis/resources.gardener.cloud/v1alpha1/namespaces/{ns}/managedresources/status/status");
    let finalizer = format!("/apis/resources.gardener.cloud/v1alpha1/namespaces/{ns}/managedresources/finalizer");
    // One ManagedResource each, so that none waits for another's sake.
    let cases = [
        (Method::PATCH, path("configmaps/apply")),
        (Method::DELETE, path("configmaps/prune-2")),
        (Method::GET, path("secrets/read")),
        (Method::PUT, status),
        (Method::PATCH, finalizer),
    ];
    for (method, path) in cases.clone() {
        let select = move |request: &Request| request.method == method && request.path == path;
        stage.proxy.add(Rule::new(Fault::Answer { code: 429, retry_after: Some(SECONDS) }, select).nth(1));
    }
    stage.replica.start();
    let mrs = ["apply", "prune", "read", "status", "finalizer"];
    for mr in mrs {
        let more = if mr == "prune" { stage.test.config_map("prune-2", "one") } else { String::new() };
        stage.submit(mr, &[stage.test.config_map(mr, "one"), more].concat()).await;
    }
    stage.test.applied("prune").await;
    stage.test.secret("prune", &stage.test.config_map("prune", "one")).await;
    for mr in mrs {
        stage.test.applied(mr).await;
    }
    stage.test.gone("configmaps", "prune-2").await;

    let entries = stage.proxy.entries();
    let mut early = Vec::new();
    for (method, path) in cases {
        let same = |entry: &&Entry| entry.request.method == method && entry.request.path == path;
        let refused = entries.iter().filter(same).position(|entry| entry.code == Some(429));
        let all: Vec<&Entry> = entries.iter().filter(same).collect();
        let refused = refused.unwrap_or_else(|| panic!("{method} {path} was never refused"));
        let again = all[refused + 1].request.received - all[refused].ended.unwrap();
        eprintln!("{method} {path}: again after {:.2} s", again.as_secs_f64());
        // The server counts whole seconds; a tenth is for clocks.
        if again.as_secs_f64() < f64::from(SECONDS) - 0.1 {
            early.push(format!("{method} {path} after {again:?}"));
        }
        assert!(again < Duration::from_secs(20), "{method} {path}: it does come back");
    }
    assert!(early.is_empty(), "sent again too early: {early:#?}");
}

/// A request that is never answered holds up nothing but its object, and is given up.
#[tokio::test(flavor = "multi_thread")]
async fn silence_holds_up_one_object_only() {
    let stage = Stage::set("silence", &[]).await;
    let path = format!("/api/v1/namespaces/{}/configmaps/silent", stage.test.ns);
    let select = move |request: &Request| request.method == Method::PATCH && request.path == path;
    stage.proxy.add(Rule::new(Fault::Hang, select).nth(1));
    stage.replica.start();
    let begin = Instant::now();
    let names = ["a", "b", "silent", "c", "d"];
    stage.submit("mr", &names.map(|name| stage.test.config_map(name, "one")).concat()).await;
    stage.submit("other", &stage.test.config_map("other", "one")).await;
    stage.test.applied("other").await;
    for name in names.into_iter().filter(|name| *name != "silent") {
        stage.test.has("configmaps", name, "/data/k", "one").await;
    }
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}: nothing else waits", begin.elapsed());
    stage.test.applied("mr").await;
    stage.test.has("configmaps", "silent", "/data/k", "one").await;

    // It can be stopped while it waits for an answer.
    let path = format!("/api/v1/namespaces/{}/configmaps/other", stage.test.ns);
    stage.proxy.add(Rule::new(Fault::Hang, move |request: &Request| request.path == path));
    stage.test.secret("other", &stage.test.config_map("other", "two")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    stage.replica.signal(Signal::TERM);
    stage.replica.ended().await;
    eprintln!("stopped within {:.1} s", begin.elapsed().as_secs_f64());
    assert_eq!(stage.replica.exit_code(), Some(0), "it ends in good order");
}

/// The inventory is written while objects are being deleted; what it still says of them is out of date.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_pruned_slowly_may_be_declared_again() {
    let stage = Stage::set("again", &[]).await;
    let test = &stage.test;
    let all = ["kept", "quick", "slow"].map(|name| test.config_map(name, "one"));
    stage.replica.start();
    stage.submit("mr", &all.concat()).await;
    test.applied("mr").await;
    let deletion = format!("/api/v1/namespaces/{}/configmaps/slow", test.ns);
    let status = format!("/apis/resources.gardener.cloud/v1alpha1/namespaces/{}/managedresources/mr/status", test.ns);
    // The deletions take so long that they are announced, and the announcement arrives after them.
    for (method, path, seconds) in [(Method::DELETE, deletion, 2), (Method::PUT, status, 3)] {
        let select = move |request: &Request| request.method == method && request.path == path;
        stage.proxy.add(Rule::new(Fault::Delay(Duration::from_secs(seconds)), select).nth(1));
    }
    let [retained, ..] = &all;
    test.redeclare("mr", retained).await;
    for name in ["quick", "slow"] {
        test.gone("configmaps", name).await;
    }
    test.redeclare("mr", &all.concat()).await;
    for name in ["quick", "slow"] {
        test.has("configmaps", name, "/data/k", "one").await;
    }
}
