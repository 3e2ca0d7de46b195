//! The configuration file of the original, flags and environment: read by the real programs.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use holdfast_e2e::audit::AuditLog;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Account, CONTROLLER, Cluster, Replica, Test, WEBHOOK, nothing_happens_for, text, within, write_kubeconfig,
};

/// Writes a file of the original's kind.
fn file(test: &Test, name: &str, rest: &Value) -> PathBuf {
    let mut content = json!({
        "apiVersion": "resourcemanager.config.gardener.cloud/v1alpha1", "kind": "ResourceManagerConfiguration",
    });
    content.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let path = test.cluster.control_plane.directory().join(format!("{name}.yaml"));
    std::fs::write(&path, content.to_string()).unwrap();
    path
}

/// A controller that has this file, and nothing else.
fn with_file(test: &Test, name: &str, rest: &Value) -> Replica {
    let config = format!("--config={}", file(test, name, rest).display());
    Replica::only(&test.cluster, CONTROLLER, name, &[&config])
}

async fn bare(topic: &str) -> Test {
    Test::on(Cluster::shared_bare().await, topic).await
}

/// The last process has ended by itself, and not well; what it said last.
async fn startup_error(replica: &Replica) -> String {
    replica.start();
    replica.ended().await;
    assert_eq!(replica.exit_code(), Some(1));
    replica.logged().lines().last().unwrap_or_default().to_owned()
}

async fn get(address: &str, path: &str) -> Result<(u16, String), String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = exchange.await.map_err(|error| error.to_string())?;
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no status")?;
    Ok((code, answer))
}

/// Where it serves, from its log.
pub async fn address(replica: &Replica, what: &str) -> String {
    let line = replica.says(&["\"address\"", &format!("serving {what}\"")]).await;
    text(&serde_json::from_str(&line).unwrap(), "/address")
}

/// Waits until a path is answered with this code, and returns the answer.
pub async fn answers(address: &str, path: &str, code: u16) -> String {
    within(Duration::from_secs(30), &format!("{path} to be answered with {code}"), || async {
        let (found, answer) = get(address, path).await?;
        if found == code { Ok(answer) } else { Err(answer) }
    })
    .await
}

/// A file that sets everything, also what has no effect.
fn full_file(ns: &str, kubeconfig: &Path) -> Value {
    json!({
        "sourceClientConnection": {"kubeconfig": kubeconfig, "qps": 100, "burst": 130, "contentType": "x"},
        "leaderElection": {
            "leaderElect": true, "leaseDuration": "25s", "renewDeadline": "20s", "retryPeriod": "1s",
            "resourceLock": "leases", "resourceName": "from-file", "resourceNamespace": ns,
        },
        "server": {
            "healthProbes": {"bindAddress": "127.0.0.1", "port": 0},
            "metrics": {"bindAddress": "127.0.0.1", "port": 0},
            "webhooks": {"port": 10250},
        },
        "logLevel": "info", "logFormat": "json",
        "controllers": {
            "clusterID": "seed-1", "resourceClass": ns,
            "managedResource": {
                "concurrentSyncs": 2, "syncPeriod": "1m0s", "alwaysUpdate": false, "managedByLabelValue": "holdfast",
                "pendingPeriod": "1s", "repair": "resync",
            },
            "garbageCollector": {"enabled": true, "syncPeriod": "12h"},
            "kubeletCSRApprover": {"enabled": true}, "networkPolicy": {"enabled": true, "concurrentSyncs": 5},
        },
    })
}

fn warnings_name_what_has_no_effect(log: &str) {
    let printed = |part: &str| log.lines().filter(|line| line.contains("WARN") && line.contains(part)).count();
    assert_eq!(
        printed("sourceClientConnection.contentType has no effect: what is sent and received is JSON"),
        1,
        "{log}"
    );
    assert_eq!(printed("controllers.networkPolicy has no effect: it is not implemented"), 1);
    assert_eq!(printed("controllers.kubeletCSRApprover is not known and has no effect"), 1);
    assert_eq!(printed("controllers.garbageCollector.syncPeriod has no effect: it is not implemented"), 1);
    assert_eq!(printed("configuration file"), 4, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_implemented_is_read_from_the_file() {
    let test = bare("file").await;
    let account = Account::create(&test, "controller").await;
    let kubeconfig = write_kubeconfig(&test.cluster, &test.ns, &json!({"token": account.token}));
    let replica = with_file(&test, &test.ns, &full_file(&test.ns, &kubeconfig));
    replica.start();
    let label = "metadata:\n  labels: {resources.gardener.cloud/garbage-collectable-reference: 'true'}\n";
    let collected = test.config_map("collected", "one").replace("metadata:\n", label);
    test.declare("mr", &[test.config_map("a", "one"), collected].concat()).class(&test.ns).await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(object["metadata"]["labels"]["resources.gardener.cloud/managed-by"], "holdfast");
    // garbageCollector.enabled
    test.redeclare("mr", &test.config_map("a", "one")).await;
    assert!(test.get("configmaps", "collected").await.is_some());
    let origin = text(&object, "/metadata/annotations/resources.gardener.cloud~1origin");
    assert_eq!(origin, format!("seed-1:{}/mr", test.ns));
    let lease = test.get("coordination.k8s.io/v1/leases", "from-file").await.unwrap();
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 25);
    // repair: resync
    test.alice.does(r#"patch configmap a -p {"data":{"k":"x"}}"#).await;
    nothing_happens_for(Duration::from_secs(2), "drift is repaired").await;
    assert_eq!(test.get("configmaps", "a").await.unwrap()["data"]["k"], "x");

    let (probes, metrics) = (address(&replica, "probes and metrics").await, address(&replica, "metrics").await);
    assert_ne!(probes, metrics);
    answers(&probes, "/readyz", 200).await;
    answers(&metrics, "/metrics", 200).await;

    warnings_name_what_has_no_effect(&replica.logged());
    replica.signal(Signal::TERM);
    replica.ended().await;
    assert_eq!(replica.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_go_before_environment_and_environment_before_the_file() {
    let test = bare("order").await;
    let kubeconfig = write_kubeconfig(&test.cluster, &test.ns, &json!({"token": "admin-token"}));
    let content = json!({
        "sourceClientConnection": {"kubeconfig": "/nowhere"}, "leaderElection": {"leaderElect": false},
        "server": {"healthProbes": {"bindAddress": "127.0.0.1", "port": 0}},
        // Read as it was meant.
        "controllers": {"resourceClass": "of-the-file", "managedResources": {"managedByLabelValue": "of-the-file"}},
    });
    let config = format!("--config={}", file(&test, &test.ns, &content).display());
    for (flags, environment, class) in [
        (vec![], vec![], "of-the-file"),
        (vec![], vec![("HOLDFAST_CLASS", "of-the-environment")], "of-the-environment"),
        (
            vec!["--class=of-the-flag", "--extra-target-namespace=x"],
            vec![("HOLDFAST_CLASS", "of-the-environment")],
            "of-the-flag",
        ),
    ] {
        let arguments = [vec![&*config], flags].concat();
        let mut replica = Replica::only(&test.cluster, CONTROLLER, &format!("{}-{class}", test.ns), &arguments);
        // The original's variable goes before its file, too.
        replica = replica.env("KUBECONFIG", &kubeconfig.display().to_string());
        for (name, value) in environment {
            replica = replica.env(name, value);
        }
        replica.start();
        replica.says(&["controller started", &format!("\"class\":\"{class}\"")]).await;
        let log = replica.logged();
        assert!(!log.contains("configuration file"), "{log}");
        // The original's only flag beside --config is taken.
        assert_eq!(log.contains("--extra-target-namespace has no effect"), class == "of-the-flag", "{log}");
        replica.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_values_are_refused_with_their_keys() {
    let test = bare("bad-values").await;
    let printed = startup_error(&with_file(
        &test,
        &format!("{}-values", test.ns),
        &json!({
            "leaderElection": {"resourceLock": "configmaps"},
            "server": {"healthProbes": {"port": 70000}},
            "logLevel": "loud",
            "controllers": {
                "resourceClass": "",
                "managedResources": {"concurrentSyncs": 0, "syncPeriod": "often", "managedByLabelValue": "not a value"},
            },
        }),
    ))
    .await;
    for part in [
        "leaderElection.resourceLock: is \"configmaps\", expected leases",
        "server.healthProbes.port: must be a port from 0 to 65535, not 70000",
        "logLevel: is \"loud\", expected error or warn or info or debug or trace",
        "controllers.resourceClass: must not be empty",
        "controllers.managedResources.concurrentSyncs: must be a whole number from 1, not 0",
        "controllers.managedResources.syncPeriod: \"often\" is not a duration above zero, such as 90s or 1h30m",
        "controllers.managedResources.managedByLabelValue: \"not a value\" cannot be the value of a label",
    ] {
        assert!(printed.starts_with("error: configuration file ") && printed.contains(part), "{part}: {printed}");
    }
    let election = json!({"leaderElection": {"leaseDuration": "5s", "resourceNamespace": "x"}});
    let printed = startup_error(&with_file(&test, &format!("{}-election", test.ns), &election)).await;
    assert!(printed.starts_with("error: leaderElection in "), "{printed}");
    assert!(printed.ends_with("--lease-duration (5s) must be longer than --renew-deadline (10s)"), "{printed}");
    let printed = startup_error(&with_file(&test, &format!("{}-home", test.ns), &json!({}))).await;
    assert!(printed.contains("where the Lease lies"), "{printed}");
    let other = test.cluster.control_plane.directory().join("other.yaml");
    std::fs::write(&other, "apiVersion: v1\nkind: Pod\n").unwrap();
    let config = format!("--config={}", other.display());
    let printed =
        startup_error(&Replica::only(&test.cluster, CONTROLLER, &format!("{}-kind", test.ns), &[&config])).await;
    assert!(printed.contains("kind: is \"Pod\", expected \"ResourceManagerConfiguration\""), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_reads_its_part_of_the_file() {
    let test = bare("webhook-file").await;
    // An address that no machine has, so that what it says tells where it wanted to listen.
    let content = json!({
        "server": {"webhooks": {"bindAddress": "192.0.2.1"}, "healthProbes": {"bindAddress": "127.0.0.1", "port": 0}},
        "controllers": {"resourceClass": "x"},
    });
    let config = format!("--config={}", file(&test, &test.ns, &content).display());
    let replica = Replica::only(&test.cluster, WEBHOOK, &test.ns, &[&config]);
    let printed = startup_error(&replica).await;
    let expected =
        "error: cannot listen on 192.0.2.1:9449 for the API server's reviews: this machine has no such address";
    assert_eq!(printed, expected);
    assert!(!replica.logged().contains("has no effect"), "{}", replica.logged());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_controllers_off_probes_are_served() {
    let test = bare("off").await;
    let off = json!({
        "server": {"healthProbes": {"bindAddress": "127.0.0.1", "port": 0}},
        "controllers": {"managedResource": {"enabled": false}},
    });
    // It needs no cluster and no lease.
    let replica = with_file(&test, &test.ns, &off);
    replica.start();
    let probes = address(&replica, "probes and metrics").await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        answers(&probes, path, 200).await;
    }
    replica.says(&["no controller is to run; only probes and metrics are served"]).await;
    replica.signal(Signal::TERM);
    replica.ended().await;
    assert_eq!(replica.exit_code(), Some(0));
}

/// A replica with flags, of the class of the test's name.
async fn replica(test: &Test, name: &str, flags: &[&str]) -> (Replica, Account) {
    let account = Account::create(test, name).await;
    let process = format!("{}-{name}", test.ns);
    let replica = Replica::direct(&test.cluster, &process, &account.token, &test.ns).with(flags);
    (replica.in_namespace(&test.ns), account)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_off_reconciles_nothing() {
    let test = bare("off-flag").await;
    let (off, account) = replica(&test, "off", &["--disable-controllers=managedresource"]).await;
    off.start();
    answers(&address(&off, "probes and metrics").await, "/readyz", 200).await;
    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    test.secret("mr", &test.config_map("a", "one")).await;
    test.mr("mr", &["mr"], json!({"class": test.ns})).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(log.read_of(&account.user).unwrap().len(), 0, "it asks for nothing");
    assert_eq!(test.get("configmaps", "a").await, None);
    let mr = test.get("managedresources", "mr").await.unwrap();
    assert_eq!((mr.pointer("/metadata/finalizers"), mr.pointer("/status")), (None, None));
    // The same without the flag.
    let (on, _) = replica(&test, "on", &[]).await;
    on.start();
    test.applied("mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn periods_may_be_as_short_as_one_likes() {
    let test = bare("periods").await;
    let flags = ["--resync-period=100ms", "--pending-period=50ms", "--repair=resync"];
    let (replica, account) = replica(&test, "one", &flags).await;
    replica.start();
    test.declare("mr", &test.config_map("a", "one")).class(&test.ns).await;
    // Nobody else repairs.
    for _ in 0..3 {
        let begin = Instant::now();
        test.alice.does(r#"patch configmap a -p {"data":{"k":"x"}}"#).await;
        test.has("configmaps", "a", "/data/k", "one").await;
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }
    let finalizer = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "finalizers": ["example.com/never"]},
    });
    test.try_apply("configmaps", &finalizer).await.unwrap();
    test.delete("managedresources", "mr").await;
    test.reason("mr", "DeletionPending").await;
    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let looks = log.read_of(&account.user).unwrap().iter().filter(|request| request.resource == "configmaps").count();
    assert!(looks >= 10, "{looks} looks at what is pending");
    test.merge("configmaps", "a", "e2e", &json!({"metadata": {"finalizers": null}})).await;
    test.gone("managedresources", "mr").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_limited_as_the_settings_say() {
    let test = bare("rate").await;
    let (replica, account) = replica(&test, "one", &["--qps=10", "--burst=5"]).await;
    replica.start();
    let manifests: String = (0..40).map(|number| test.config_map(&format!("c-{number}"), "one")).collect();
    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    test.declare("mr", &manifests).class(&test.ns).await;
    let requests = log.read_of(&account.user).unwrap();
    let mut applied: Vec<_> =
        requests.iter().filter(|request| request.resource == "configmaps" && request.verb == "patch").collect();
    applied.sort_by_key(|request| request.received);
    assert!(applied.len() >= 40, "{}", applied.len());
    let taken = applied[applied.len() - 1].received.duration_since(applied[0].received);
    // 40 at 10 a second, after a burst of 5.
    assert!(taken.as_secs_f64() > 3.0, "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_of_the_cluster_comes_from_its_config_map() {
    let test = bare("identity").await;
    let system = Test::within(std::sync::Arc::clone(&test.cluster), "kube-system");
    let identity = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-identity"},
        "data": {"cluster-identity": "landscape-seed"},
    });
    let (needy, _) = replica(&test, "needy", &["--cluster-id=<cluster>"]).await;
    let printed = startup_error(&needy).await;
    assert!(printed.contains("--cluster-id=<cluster> needs ConfigMap kube-system/cluster-identity"), "{printed}");

    let (content, _) = replica(&test, "content", &["--cluster-id=<default>"]).await;
    test.declare("mr", &test.config_map("a", "one")).class(&test.ns).write().await;
    let origin = "/metadata/annotations/resources.gardener.cloud~1origin";
    content.start();
    test.has("configmaps", "a", origin, format!("{}/mr", test.ns)).await;
    content.kill().await;

    system.create("configmaps", &identity).await;
    needy.start();
    test.has("configmaps", "a", origin, format!("landscape-seed:{}/mr", test.ns)).await;
    needy.kill().await;
    test.secret("mr", &test.config_map("b", "one")).await;
    content.start();
    test.has("configmaps", "b", origin, format!("landscape-seed:{}/mr", test.ns)).await;
    content.kill().await;
    system.delete("configmaps", "cluster-identity").await;
}
