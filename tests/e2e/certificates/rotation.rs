//! Certificates that live for seconds, in an installation where a failed call would fail the edit.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::server_certificate::ServerCertificate;
use holdfast_e2e::{cache, install};
use serde_json::json;

use super::load::Load;
use super::{MUTATING, SECRET, VALIDATING, bundles, decoded, expired, foreign, registered, served, set_bundle};
use crate::harness::{Cluster, SYSTEM, Test, WEBHOOK, within};

/// CAs are replaced about every 24 s, certificates twice as often.
const SHORT: [&str; 3] =
    ["webhook.failurePolicy=Fail", "webhook.certificates.lifetime=18s", "webhook.certificates.caLifetime=36s"];
/// Long enough that nothing is replaced for its age while something is mended, which makes everything new each time.
const LONG: [&str; 3] =
    ["webhook.failurePolicy=Fail", "webhook.certificates.lifetime=2m", "webhook.certificates.caLifetime=4h"];

async fn installed(topic: &str, values: &[&str]) -> Arc<Test> {
    let test = Test::on(Arc::new(Cluster::bare().await), topic).await;
    install::install(&test.cluster.control_plane, &test.cluster.player, values).await.unwrap();
    test.declare("mr", &test.config_map("a", "one")).await;
    // API server and webhook hear of the configuration and of the ManagedResource by watches.
    test.eventually("an edit to be refused", || async {
        let output = test.alice.run(r#"patch configmap a -p {"data":{"k":"two"}}"#).await;
        output.refusal().map(drop).map_err(|error| error.to_string())
    })
    .await;
    Arc::new(test)
}

/// What is in the Secret.
async fn stored(test: &Test, key: &str) -> Option<String> {
    let path = format!("/api/v1/namespaces/{SYSTEM}/secrets/{SECRET}");
    let found = test.call("GET", &path, None).await.ok()?;
    Some(decoded(&found, key)).filter(|text| !text.is_empty())
}

async fn upgrade(test: &Test) {
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    let args = ["upgrade", install::RELEASE, &chart, "--reuse-values"];
    let system = Test::within(Arc::clone(&test.cluster), SYSTEM);
    system.admin.helm(&args).await.success().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_certificates_and_cas_are_replaced() {
    let test = installed("rotation", &SHORT).await;
    let load = Load::start(&test, "a");
    let (mut leaves, mut keys, mut most) = (BTreeSet::new(), BTreeSet::new(), 0);
    let limit = Duration::from_secs(150);
    let seen = tokio::time::timeout(limit, async {
        // The third key of a CA is the second that came by rotation.
        while keys.len() < 4 || leaves.len() < 6 {
            leaves.extend(stored(&test, "tls.crt").await);
            keys.extend(stored(&test, "ca.key").await);
            let bundle = stored(&test, "ca.crt").await.unwrap_or_default();
            most = most.max(bundle.matches("BEGIN CERTIFICATE").count());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let is_complete = seen.await.is_ok();
    let (refused, shaken) = load.end().await;
    eprintln!("{} CAs, {} certificates, {refused} edits, {shaken} handshakes", keys.len(), leaves.len());
    assert!(is_complete && refused > 200 && shaken > 200, "it was worth something");
    assert_eq!(most, 2, "both CAs are trusted meanwhile, and no more");
    assert!(test.cluster.player.pods_of(WEBHOOK).iter().all(|pod| pod.restarts == 0), "nobody was started again");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_the_secret_and_the_configurations() {
    let test = installed("harm", &LONG).await;
    let load = Load::start(&test, "a");
    the_secret_is_broken(&test).await;
    let (refused, shaken) = load.end().await;
    eprintln!("{refused} edits, {shaken} handshakes");
    assert!(refused > 50 && shaken > 50, "it was worth something");
    configurations_are_emptied_and_made_anew(&test).await;
    replicas_that_start_together_agree(&test).await;
}

/// Each is mended, and no call fails meanwhile.
async fn the_secret_is_broken(test: &Test) {
    let path = format!("/api/v1/namespaces/{SYSTEM}/secrets/{SECRET}");
    let (theirs, expired) = (foreign(super::SERVER), expired());
    let whole = |made: &ServerCertificate| {
        [("ca.crt", &made.ca), ("ca.key", &made.ca_key), ("tls.crt", &made.certificate), ("tls.key", &made.key)]
            .map(|(key, text)| (key, text.clone()))
            .to_vec()
    };
    let one = |key, text: &str| vec![(key, text.to_owned())];
    for (case, data) in [
        ("an empty CA", one("ca.crt", "")),
        ("a CA that is none", one("ca.crt", "x")),
        ("another CA", one("ca.crt", &theirs.ca)),
        ("an empty certificate", one("tls.crt", "")),
        ("a certificate that is none", one("tls.crt", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")),
        ("a certificate of another CA", one("tls.crt", &theirs.certificate)),
        ("an empty key", one("tls.key", "")),
        ("a key that is none", one("tls.key", "x")),
        ("the key of another certificate", one("tls.key", &theirs.key)),
        ("everything expired", whole(&expired)),
    ] {
        let before = stored(test, "tls.crt").await.unwrap();
        let data: serde_json::Map<_, _> =
            data.into_iter().map(|(key, text)| (key.to_owned(), json!(STANDARD.encode(text)))).collect();
        test.merge_at(&path, &json!({"data": data})).await;
        mended(test, case, &before).await;
    }
    // A key of the CA that is of no use is missed when something has to be signed.
    let before = stored(test, "tls.crt").await.unwrap();
    let broken = json!({"data": {"ca.key": STANDARD.encode("x"), "tls.key": STANDARD.encode("x")}});
    test.merge_at(&path, &broken).await;
    mended(test, "no key is of use", &before).await;
    // Without a key the CA is no use, so there is another one.
    for (case, patch) in [("without a CA", json!({"data": {"ca.crt": null}})), ("nothing", json!({"data": null}))] {
        let before = stored(test, "tls.crt").await.unwrap();
        // The type of the Secret wants two keys.
        if patch["data"].is_null() {
            test.call("DELETE", &path, None).await.unwrap();
        } else {
            test.merge_at(&path, &patch).await;
        }
        mended(test, case, &before).await;
    }
}

/// What is of no use is served by nobody.
async fn mended(test: &Test, case: &str, before: &str) {
    test.eventually(&format!("another certificate to be served: {case}"), || async {
        let leaf = stored(test, "tls.crt").await.ok_or("there is no certificate")?;
        if leaf == before { Err("it is the old one".to_owned()) } else { served::is_by_all(test, &leaf).await }
    })
    .await;
    registered(test, stored(test, "ca.crt").await.unwrap().trim()).await;
}

async fn configurations_are_emptied_and_made_anew(test: &Test) {
    let key = stored(test, "ca.key").await;
    let edit = ["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#];
    let back = || async {
        for path in [VALIDATING, MUTATING] {
            within(Duration::from_secs(5), &format!("the CA to be back in {path}"), || async {
                let found = test.call("GET", path, None).await.map_err(|error| error.to_string())?;
                let (bundles, ca) = (bundles(&found), stored(test, "ca.crt").await.ok_or("there is no CA")?);
                let is_back = !bundles.is_empty() && bundles.iter().all(|bundle| *bundle == ca);
                if is_back { Ok(()) } else { Err(format!("{bundles:?}")) }
            })
            .await;
        }
        crate::harness::protects(test, &edit).await;
    };
    for bundle in ["", &foreign(super::SERVER).ca] {
        for path in [VALIDATING, MUTATING] {
            set_bundle(test, path, bundle).await;
        }
        back().await;
    }
    for path in [VALIDATING, MUTATING] {
        test.call("DELETE", path, None).await.unwrap();
    }
    upgrade(test).await;
    back().await;

    // The Secret goes with the release. One that somebody puts there, from a backup for example, is used, and stays his.
    let secrets = format!("/api/v1/namespaces/{SYSTEM}/secrets");
    let former = test.call("GET", &format!("{secrets}/{SECRET}"), None).await.unwrap();
    install::uninstall(&test.cluster.control_plane).await.unwrap();
    Test::within(Arc::clone(&test.cluster), SYSTEM).gone("secrets", SECRET).await;
    let restored = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "type": former["type"], "data": former["data"]});
    test.call("POST", &secrets, Some(&restored)).await.unwrap();
    install::install(&test.cluster.control_plane, &test.cluster.player, &LONG).await.unwrap();
    back().await;
    assert_eq!(stored(test, "ca.key").await, key, "the same CA");
    let found = test.call("GET", &format!("{secrets}/{SECRET}"), None).await.unwrap();
    assert!(found["metadata"]["ownerReferences"].is_null(), "{}", found["metadata"]);
}

async fn replicas_that_start_together_agree(test: &Test) {
    let path = format!("/api/v1/namespaces/{SYSTEM}/secrets/{SECRET}");
    let before = stored(test, "tls.crt").await.unwrap();
    let scale = |replicas: usize| async move {
        test.admin.does(&format!("scale deployment {WEBHOOK} --replicas={replicas} -n {SYSTEM}")).await;
        test.eventually(&format!("{replicas} ready pods"), || async {
            let pods = test.cluster.player.pods_of(WEBHOOK);
            let ready = pods.iter().filter(|pod| pod.ready).count();
            if (pods.len(), ready) == (replicas, replicas) { Ok(()) } else { Err(format!("{ready} of {}", pods.len())) }
        })
        .await;
    };
    scale(0).await;
    test.call("DELETE", &path, None).await.unwrap();
    scale(4).await;
    let (leaf, bundle) = (stored(test, "tls.crt").await.unwrap(), stored(test, "ca.crt").await.unwrap());
    assert!(leaf != before && bundle.matches("BEGIN CERTIFICATE").count() == 1, "{bundle}");
    served::by_all(test, &leaf).await;
    let pods = test.cluster.player.pods_of(WEBHOOK);
    let log: String = pods.iter().map(|pod| test.cluster.player.logs(SYSTEM, &pod.name)).collect();
    assert!(!log.contains("renewing") && !log.contains("replacing the certificates"), "{log}");
    registered(test, bundle.trim()).await;
}
