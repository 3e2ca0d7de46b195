//! What helm and administrators do to the installation itself.
use holdfast_e2e::{cache, install};
use serde_json::json;

use crate::harness::{SYSTEM, Test, WEBHOOK};

const PATCH: [&str; 5] = ["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#];

async fn refuses(test: &Test, when: &str) {
    test.eventually(&format!("edits to be refused {when}"), || async {
        let output = test.alice.with(&PATCH).await;
        let refusal = output.refusal().map_err(|error| error.to_string())?;
        if refusal.contains("is managed by ManagedResource") { Ok(()) } else { Err(refusal) }
    })
    .await;
}

async fn bundles(test: &Test) -> Result<Vec<String>, String> {
    let configuration = test.try_get("validatingwebhookconfigurations", "holdfast").await?.ok_or("no configuration")?;
    let webhooks = configuration["webhooks"].as_array().cloned().unwrap_or_default();
    let bundle = |webhook: &serde_json::Value| webhook["clientConfig"]["caBundle"].as_str().map(ToOwned::to_owned);
    let all: Vec<String> = webhooks.iter().filter_map(bundle).collect();
    if all.len() == webhooks.len() && all.len() > 1 {
        Ok(all)
    } else {
        Err(format!("{} of {}", all.len(), webhooks.len()))
    }
}

async fn helm(test: &Test, args: &[&str]) {
    let control_plane = &test.cluster.control_plane;
    let kubectl = holdfast_e2e::kubectl::Kubectl::new(control_plane.tools(), &control_plane.kubeconfig(), "admin");
    kubectl.helm(args).await.unwrap().success().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_installation_survives_its_administrators() {
    let test = Test::own("release").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    refuses(&test, "at first").await;

    // The registration is put right.
    let before = bundles(&test).await.unwrap();
    let wipe = r#"[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]"#;
    test.admin.does(&format!("patch validatingwebhookconfiguration holdfast --type=json -p {wipe}")).await;
    let after = test.eventually("the CA to be registered again", || bundles(&test)).await;
    assert_eq!(after, before);
    refuses(&test, "with the CA registered again").await;

    // The certificates are made anew; both replicas use the new ones.
    let system = Test::within(test.cluster.clone(), SYSTEM);
    let uid = system.uid("secrets", "holdfast-webhook-tls").await;
    system.admin.does("delete secret holdfast-webhook-tls").await;
    system
        .eventually("a new Secret with certificates", || async {
            let secret = system.try_get("secrets", "holdfast-webhook-tls").await?.ok_or("none")?;
            if secret["metadata"]["uid"] == uid.as_str() { Err("the old one".to_owned()) } else { Ok(()) }
        })
        .await;
    for _ in 0..5 {
        refuses(&test, "with other certificates").await;
    }

    // Certificates that nobody can read are replaced.
    let garbage = r#"{"data":{"tls.crt":"Z2FyYmFnZQ==","ca.crt":"Z2FyYmFnZQ==","tls.key":"Z2FyYmFnZQ=="}}"#;
    system.admin.does(&format!("patch secret holdfast-webhook-tls -p {garbage}")).await;
    system
        .eventually("certificates that can be read", || async {
            let secret = system.try_get("secrets", "holdfast-webhook-tls").await?.ok_or("none")?;
            if secret["data"]["tls.crt"] == "Z2FyYmFnZQ==" { Err("garbage".to_owned()) } else { Ok(()) }
        })
        .await;
    for _ in 0..5 {
        refuses(&test, "with mended certificates").await;
    }

    upgrade(&test).await;
    uninstall(&test).await;
}

async fn upgrade(test: &Test) {
    let before: Vec<String> = test.cluster.player.pods_of(WEBHOOK).into_iter().map(|pod| pod.name).collect();
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    let args = ["upgrade", install::RELEASE, &chart, "--namespace", SYSTEM, "--set", "image.tag=dev,log.level=debug"];
    helm(test, &args).await;
    test.eventually("new pods of the webhook", || async {
        let pods = test.cluster.player.pods_of(WEBHOOK);
        let is_new = pods.len() == 2 && pods.iter().all(|pod| pod.ready && !before.contains(&pod.name));
        if is_new { Ok(()) } else { Err(test.cluster.player.dump(0)) }
    })
    .await;
    test.eventually("the CA to be registered after an upgrade", || bundles(test)).await;
    refuses(test, "after an upgrade").await;
    test.redeclare("mr", &test.config_map("a", "two")).await;
    test.has("configmaps", "a", "/data/k", "two").await;
}

async fn uninstall(test: &Test) {
    let uid = test.uid("configmaps", "a").await;
    install::uninstall(&test.cluster.control_plane).await.unwrap();
    test.eventually("our pods to be gone", || async {
        let pods = test.cluster.player.pods();
        if pods.is_empty() { Ok(()) } else { Err(format!("{} are there", pods.len())) }
    })
    .await;
    assert_eq!(test.uid("configmaps", "a").await, uid, "managed objects stay");
    assert!(test.get("managedresources", "mr").await.is_some(), "so do ManagedResources");
    assert!(test.get("validatingwebhookconfigurations", "holdfast").await.is_none());
    test.alice.with(&PATCH).await.success().unwrap();
    test.alice.does("create secret generic other --from-literal=objects.yaml=[").await;
    test.alice.does("create deployment free --image=nginx").await;
    test.alice.does("scale deployment free --replicas=0").await;

    // And back again.
    install::install(&test.cluster.control_plane, &test.cluster.player, &[]).await.unwrap();
    test.has("configmaps", "a", "/data/k", "two").await;
    refuses(test, "after a new installation").await;
    assert_eq!(test.uid("configmaps", "a").await, uid);
    test.has("deployments", "free", "/spec/replicas", json!(0)).await;
}
