//! Kinds of which only a part does not answer, and what goes on and on at several at once.
use std::time::{Duration, Instant};

use holdfast_e2e::fault_proxy::{Fault, Request, Rule};

use super::super::Stage;
use super::{MOST, SLOWEST, answer, define, manifest, percentile, repair};
use crate::harness::{Test, nothing_happens_for};

const STUCK: usize = 100;
const REPAIRS: usize = 30;

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

fn manifests(test: &Test, kind: usize, names: &[String], value: &str) -> String {
    names.iter().map(|name| manifest(test, kind, name, value)).collect()
}

/// Repairs of these, one after the other: half of them and the slowest. Objects that are edited again and again count as fought
/// over, so each is edited once.
async fn repairs(test: &Test, kind: usize, names: &[String]) -> [Duration; 2] {
    let mut times = Vec::new();
    for name in names {
        times.push(repair(test, kind, name).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    [50, 100].map(|percent| percentile(&mut times, percent))
}

/// Most objects of a kind hang, and others of it answer: so the kind is not sick.
#[tokio::test(flavor = "multi_thread")]
async fn objects_that_hang_hold_up_no_other_kind() {
    let stage = Stage::set("partly", &[]).await;
    let test = &stage.test;
    define(test, 2).await;
    stage.replica.start();
    let (stuck, fine, rest) = (names("hang", STUCK), names("fine", REPAIRS), names("other", REPAIRS));
    let halves: Vec<_> = stuck.chunks(STUCK / 5).collect();
    for (number, part) in halves.iter().enumerate() {
        let fine = manifests(test, 0, &fine[number * 6..][..6], "one");
        stage.submit(&format!("half-{number}"), &[manifests(test, 0, part, "one"), fine].concat()).await;
    }
    stage.submit("other", &manifests(test, 1, &rest, "one")).await;
    for number in 0..halves.len() {
        test.applied(&format!("half-{number}")).await;
    }
    test.applied("other").await;

    stage
        .proxy
        .add(Rule::new(Fault::Hang, |request: &Request| request.is_write() && request.path.contains("/k0s/hang-")));
    for (number, part) in halves.iter().enumerate() {
        let fine = manifests(test, 0, &fine[number * 6..][..6], "one");
        test.secret(&format!("half-{number}"), &[manifests(test, 0, part, "two"), fine].concat()).await;
    }
    let [median, slowest] = repairs(test, 1, &rest).await;
    eprintln!("another kind: {median:?} (p50), {slowest:?} at most");
    let [median_of_same, slowest_of_same] = repairs(test, 0, &fine).await;
    eprintln!("the same kind: {median_of_same:?} (p50), {slowest_of_same:?} at most");
    stage.proxy.clear();
    for name in &stuck {
        test.has(&super::resource(test, 0), name, "/spec/k", "two").await;
    }
    test.applied("half-0").await;
    assert!(median < MOST && slowest < SLOWEST, "{median:?}, {slowest:?}");
    assert!(slowest_of_same < Duration::from_secs(12), "{slowest_of_same:?}");
}

/// Five kinds of one operator, whose webhook is dead: that is not all of us.
#[tokio::test(flavor = "multi_thread")]
async fn kinds_that_are_busy_for_ever_hold_up_no_other() {
    const BUSY: usize = 5;
    let stage = Stage::set("busy", &[]).await;
    let test = &stage.test;
    define(test, BUSY + 1).await;
    stage.replica.start();
    let all = names("o", REPAIRS);
    let busy: String = (0..BUSY).map(|kind| manifest(test, kind, "o", "one")).collect();
    stage.submit("busy", &busy).await;
    stage.submit("fine", &manifests(test, BUSY, &all, "one")).await;
    for name in ["busy", "fine"] {
        test.applied(name).await;
    }
    let is_busy =
        |request: &Request| (0..BUSY).any(|kind| request.path.split('/').any(|part| part == format!("k{kind}s")));
    stage.proxy.add(Rule::new(answer(429, Some(1)), is_busy));
    stage.proxy.cut_connections();
    for kind in 0..BUSY {
        let patch = serde_json::json!({"spec": {"k": "edited"}});
        test.merge(&super::resource(test, kind), "o", "somebody", &patch).await;
    }
    // In the first moment nobody knows.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let [median, slowest] = repairs(test, BUSY, &all).await;
    eprintln!("{median:?} (p50), {slowest:?} at most");
    stage.proxy.clear();
    for kind in 0..BUSY {
        test.has(&super::resource(test, kind), "o", "/spec/k", "one").await;
    }
    assert!(median < MOST && slowest < SLOWEST, "{median:?}, {slowest:?}");
}

/// A proxy that ends each watch as soon as it has begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_ends_at_once_is_asked_for_seldom() {
    let stage = Stage::set("brief", &[]).await;
    let test = &stage.test;
    define(test, 1).await;
    stage.replica.start();
    stage.submit("mr", &manifest(test, 0, "o", "one")).await;
    test.applied("mr").await;
    let fault = Fault::Raw { code: 200, retry_after: None, content: ("application/json", "") };
    let is_watch = |request: &Request| request.path.ends_with("/k0s") && request.query.contains("watch=");
    stage.proxy.add(Rule::new(fault, is_watch));
    stage.proxy.cut_connections();
    let message = test.message("mr", "ApplySucceeded", &["its watch fails", "as soon as it had begun"]).await;
    eprintln!("{message}");
    stage.proxy.forget();
    let begin = Instant::now();
    nothing_happens_for(Duration::from_secs(6), "the watch is started again and again").await;
    let requests = stage.proxy.entries().iter().filter(|entry| is_watch(&entry.request)).count();
    eprintln!("{requests} watches in {:?}", begin.elapsed());
    assert!(requests < 6, "{requests}");
    stage.proxy.clear();
    test.eventually("the watch to go on", || async {
        let is_there = stage.proxy.entries().iter().any(|entry| is_watch(&entry.request));
        is_there.then_some(()).ok_or_else(|| "not yet".to_owned())
    })
    .await;
    repair(test, 0, "o").await;
}
