//! Probes that tell the truth, and an end within five seconds, whatever the API server does.
use std::time::{Duration, Instant};

use holdfast_e2e::fault_proxy::{Fault, FaultProxy, Rule};
use rustix::process::Signal;

use crate::harness::{Account, Cluster, Replica, Test};
use crate::install::config_file::{address, answers};

/// What a busy machine may add.
const MARGIN: Duration = Duration::from_secs(2);

/// SIGTERM, and its end in time, with exit code 0.
async fn ends(replica: &Replica) {
    let begin = Instant::now();
    replica.signal(Signal::TERM);
    replica.ended().await;
    let taken = begin.elapsed();
    eprintln!("ended in {:.2} s", taken.as_secs_f64());
    assert!(taken < Duration::from_secs(5) + MARGIN, "{taken:?}");
    assert_eq!(replica.exit_code(), Some(0));
}

/// Waits until a request about this hangs.
async fn hangs(test: &Test, proxy: &FaultProxy, path: &str) {
    let is_it = || proxy.entries().iter().any(|entry| entry.is_faulty && entry.request.path.ends_with(path));
    test.eventually("a request to hang", || async { if is_it() { Ok(()) } else { Err("none".to_owned()) } }).await;
}

async fn stage(topic: &str) -> (Test, FaultProxy, Replica) {
    let test = Test::on(Cluster::shared_bare().await, topic).await;
    let account = Account::create(&test, "controller").await;
    let proxy = FaultProxy::start(&test.cluster.control_plane).await.unwrap();
    let replica = Replica::behind(&test.cluster, &test.ns, &proxy, &account.token, &test.ns);
    let replica = replica.with(&["--leader-elect=true"]).in_namespace(&test.ns);
    (test, proxy, replica)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_api_server_is_silent_from_the_start_it_is_alive_not_ready_and_ends() {
    let (test, proxy, replica) = stage("silent-start").await;
    proxy.add(Rule::new(Fault::Hang, |_| true));
    replica.start();
    let probes = address(&replica, "probes and metrics").await;
    answers(&probes, "/healthz", 200).await;
    let answer = answers(&probes, "/readyz", 503).await;
    assert!(answer.contains("not ready: API server, ManagedResources"), "{answer}");
    ends(&replica).await;

    proxy.forget();
    // What is silent about ManagedResources only is not ready either, until it has listed them.
    proxy.clear();
    proxy.add(Rule::new(Fault::Hang, |request| request.path.ends_with("/managedresources")).times(1));
    replica.start();
    test.eventually("the second life to serve", || async {
        let lines = replica.logged().matches("serving probes and metrics").count();
        if lines == 2 { Ok(()) } else { Err(lines.to_string()) }
    })
    .await;
    let log = replica.logged();
    let line = log.lines().rfind(|line| line.contains("serving probes and metrics")).unwrap();
    let probes = crate::harness::text(&serde_json::from_str(line).unwrap(), "/address");
    hangs(&test, &proxy, "/managedresources").await;
    let answer = answers(&probes, "/readyz", 503).await;
    assert!(answer.contains("not ready: ManagedResources"), "{answer}");
    proxy.cut_connections();
    answers(&probes, "/readyz", 200).await;
    ends(&replica).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_at_work_ends_in_time_while_the_api_server_is_silent() {
    let (test, proxy, replica) = stage("silent-end").await;
    replica.start();
    test.declare("mr", &test.config_map("a", "one")).class(&test.ns).await;
    // A write is on its way, and neither it nor anything after it is answered any more.
    proxy.add(Rule::new(Fault::Hang, |request| request.is_write() && request.path.ends_with("/configmaps/a")));
    test.secret("mr", &test.config_map("a", "two")).await;
    hangs(&test, &proxy, "/configmaps/a").await;
    proxy.add(Rule::new(Fault::Hang, |_| true));
    ends(&replica).await;
    replica.says(&["did not release the Lease in time"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_waits_is_ready_too() {
    let (test, _proxy, leader) = stage("waits").await;
    leader.start();
    leader.says(&["became leader"]).await;
    let account = Account::create(&test, "second").await;
    let name = format!("{}-second", test.ns);
    let flags = ["--leader-elect=true", "--lease-identity=second"];
    let second = Replica::direct(&test.cluster, &name, &account.token, &test.ns).with(&flags).in_namespace(&test.ns);
    second.start();
    second.says(&["waiting: another replica leads"]).await;
    let probes = address(&second, "probes and metrics").await;
    answers(&probes, "/readyz", 200).await;
    assert!(answers(&probes, "/metrics", 200).await.contains("holdfast_controller_leader 0"));
    ends(&second).await;
    ends(&leader).await;
}
