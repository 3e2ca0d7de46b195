//! Certificates of others: files in a directory, with and without somebody who writes the CA into the configurations.
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::server_certificate::ServerCertificate;
use holdfast_e2e::{cache, install};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{MUTATING, SECRET, SERVER, VALIDATING, bundles, expired, foreign, registered, served, set_bundle};
use crate::harness::{Cluster, SYSTEM, Test, WEBHOOK};

const NAME: &str = "brought";

/// Writes the Secret that is mounted.
async fn bring(test: &Test, made: &ServerCertificate) {
    let data = json!({"tls.crt": STANDARD.encode(&made.certificate), "tls.key": STANDARD.encode(&made.key),
        "ca.crt": STANDARD.encode(&made.ca)});
    let body = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": NAME},
        "data": data});
    let system = Test::within(Arc::clone(&test.cluster), SYSTEM);
    system.try_apply("secrets", &body).await.unwrap();
}

/// Plays cert-manager's injector: the `ca.crt` of the Secret becomes the bundle of what carries its annotation.
fn injector(test: &Test) -> JoinHandle<()> {
    let test = Test::within(Arc::clone(&test.cluster), SYSTEM);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let Ok(Some(secret)) = test.try_get("secrets", NAME).await else { continue };
            let ca = super::decoded(&secret, "ca.crt");
            for path in [VALIDATING, MUTATING] {
                let Ok(found) = test.call("GET", path, None).await else { continue };
                let annotation = found.pointer("/metadata/annotations/cert-manager.io~1inject-ca-from");
                let is_desired = annotation == Some(&json!(format!("{SYSTEM}/their-certificate")));
                if is_desired && bundles(&found).iter().any(|bundle| *bundle != ca) {
                    set_bundle(&test, path, &ca).await;
                }
            }
        }
    })
}

/// Edits are refused, so the API server trusts the webhook. (Under failure policy Ignore they would pass otherwise.)
async fn protects(test: &Test) {
    crate::harness::protects(test, &["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#]).await;
}

async fn may(test: &Test, words: &str) -> bool {
    let account = format!("--as=system:serviceaccount:{SYSTEM}:holdfast-webhook");
    let output = test.admin.run(&format!("auth can-i {words} {account} -n {SYSTEM}")).await;
    output.stdout.trim() == "yes"
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_others_are_followed_and_bad_ones_change_nothing() {
    let test = Test::on(Arc::new(Cluster::bare().await), "brought").await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}});
    test.create("namespaces", &namespace).await;
    let first = foreign(SERVER);
    bring(&test, &first).await;
    let injector = injector(&test);
    let values = [
        "webhook.certificates.source=CertManager".to_owned(),
        format!("webhook.certificates.secretName={NAME}"),
        "webhook.certificates.certificate=their-certificate".to_owned(),
        "webhook.extraArgs={--credentials-period=500ms}".to_owned(),
    ];
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    install::install(&test.cluster.control_plane, &test.cluster.player, &values).await.unwrap();
    test.declare("mr", &test.config_map("a", "one")).await;
    served::by_all(&test, &first.certificate).await;
    protects(&test).await;

    // It has no rights that it does not need, and has made nothing.
    for words in [
        "create secrets",
        "update secrets/holdfast-webhook-tls",
        "patch validatingwebhookconfigurations/holdfast",
        "patch mutatingwebhookconfigurations/zz-holdfast",
    ] {
        assert!(!may(&test, words).await, "{words}");
    }
    assert!(may(&test, "get validatingwebhookconfigurations/holdfast").await);
    let system = Test::within(Arc::clone(&test.cluster), SYSTEM);
    assert!(system.get("secrets", SECRET).await.is_none());

    // Others are taken without a restart.
    let second = foreign(SERVER);
    bring(&test, &second).await;
    served::by_all(&test, &second.certificate).await;
    protects(&test).await;
    bad_files_change_nothing(&test, &second).await;
    injector.abort();

    // Without an injector the webhook registers their CA itself.
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    let files = "webhook.certificates.source=Files";
    let upgrade = ["upgrade", install::RELEASE, &chart, "--reuse-values", "--set", files];
    system.admin.helm(&upgrade).await.success().unwrap();
    test.eventually("the right to register", || async {
        let may = may(&test, "patch validatingwebhookconfigurations/holdfast").await;
        if may { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let third = foreign(SERVER);
    bring(&test, &third).await;
    registered(&test, &third.ca).await;
    served::by_all(&test, &third.certificate).await;
    let found = test.call("GET", VALIDATING, None).await.unwrap();
    let both = |bundle: &String| bundle.contains(second.ca.trim()) && bundle.contains(third.ca.trim());
    assert!(bundles(&found).iter().all(both), "replicas may see new files at different times: {found}");
    protects(&test).await;
    assert!(system.get("secrets", SECRET).await.is_none() && !may(&test, "create secrets").await);
}

async fn bad_files_change_nothing(test: &Test, good: &ServerCertificate) {
    let (other, expired) = (foreign(SERVER), expired());
    let external = foreign("elsewhere.example.com");
    let pods = test.cluster.player.pods_of(WEBHOOK);
    let with = |ca: &str, certificate: &str, key: &str| ServerCertificate {
        ca: ca.to_owned(),
        ca_key: String::new(),
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    for (case, bad, why) in [
        ("another key", with(&good.ca, &good.certificate, &other.key), "tls.key does not belong to its certificate"),
        ("no CA", with("x", &other.certificate, &other.key), "ca.crt is missing or is not in PEM"),
        ("a CA of others", with(&good.ca, &other.certificate, &other.key), "clients would refuse the certificate"),
        ("another server", external, "clients would refuse the certificate for holdfast-webhook.holdfast-system.svc"),
        ("expired", expired, "no CA is valid now"),
    ] {
        bring(test, &bad).await;
        for pod in &pods {
            test.eventually(&format!("{} to say what is wrong: {case}", pod.name), || async {
                let log = test.cluster.player.logs(SYSTEM, &pod.name);
                let printed = log.lines().any(|line| line.contains(why) && line.contains("stays in use"));
                if printed { Ok(()) } else { Err(log) }
            })
            .await;
            assert!(failures(test, &pod.name).await > 0, "{case}");
        }
        served::by_all(test, &good.certificate).await;
    }
    let log: String = pods.iter().map(|pod| test.cluster.player.logs(SYSTEM, &pod.name)).collect();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
    bring(test, good).await;
    protects(test).await;
}

/// What the metric says.
async fn failures(test: &Test, pod: &str) -> u64 {
    let metrics = metrics(test, pod).await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("holdfast_webhook_certificate_failures_total "));
    for expiry in ["certificate", "ca"] {
        let name = format!("holdfast_webhook_{expiry}_expiry_seconds ");
        let at = metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<i64>().ok());
        // Valid until 2099.
        assert!(at.is_some_and(|at| at > 4_000_000_000), "{expiry}: {at:?}");
    }
    line.and_then(|count| count.parse().ok()).unwrap_or_default()
}

async fn metrics(test: &Test, pod: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let pod = test.cluster.player.pod(SYSTEM, pod).unwrap();
    let mut stream = tokio::net::TcpStream::connect((pod.address, pod.ports["probes"])).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_says_what_is_missing() {
    let test = Test::shared("missing").await;
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    for (values, expected) in [
        ("webhook.certificates.source=Files", "webhook.certificates.secretName"),
        ("webhook.certificates.source=CertManager,webhook.certificates.secretName=s", "the name of a cert-manager"),
        ("webhook.certificates.source=None", "source"),
        ("clusters.role=Source,clusters.advertiseURL=https://x", "clusters.targetKubeconfig.secretName"),
        ("clusters.role=Source,clusters.targetKubeconfig.secretName=x", "clusters.advertiseURL"),
        ("clusters.role=Target", "clusters.advertiseURL"),
        ("clusters.role=Target,clusters.advertiseURL=http://x", "advertiseURL"),
        (
            "clusters.role=Target,clusters.advertiseURL=https://x,webhook.certificates.source=CertManager",
            "knows one cluster",
        ),
    ] {
        let refusal = test.admin.helm(&["template", &chart, "--set", values]).await.refusal().unwrap();
        assert!(refusal.contains(expected), "{values}: {refusal}");
    }
    let output = test.admin.helm(&["template", &chart]).await.success().unwrap();
    let documents: Vec<Value> = serde_yaml::Deserializer::from_str(&output)
        .filter_map(|document| serde::Deserialize::deserialize(document).ok())
        .collect();
    let annotated = documents.iter().filter(|document| document.to_string().contains("inject-ca-from")).count();
    assert!(documents.len() > 10 && annotated == 0, "nobody else writes what the webhook writes");
}
