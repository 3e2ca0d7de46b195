//! What is left of one role of the chart when the cluster gets another one.
use std::sync::Arc;

use holdfast_e2e::{cache, install};
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, SYSTEM, Test, WEBHOOK, nothing_happens_for, printed};
use crate::install::config_file::answers;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

/// Changes the values of the release, and waits until all pods are those of the new ones.
async fn upgrade(test: &Test, values: &[&str]) {
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    let mut args =
        vec!["upgrade", install::RELEASE, &chart, "-n", SYSTEM, "--wait", "--timeout=90s", "--set", "image.tag=dev"];
    args.extend(values.iter().flat_map(|value| ["--set", *value]));
    Test::within(Arc::clone(&test.cluster), SYSTEM).admin.helm(&args).await.success().unwrap();
}

/// Whom the match condition of each webhook leaves out, in both configurations.
pub async fn exempt(test: &Test) -> Vec<String> {
    let mut all = vec![];
    for path in ["validatingwebhookconfigurations/holdfast", "mutatingwebhookconfigurations/zz-holdfast"] {
        let found = test.call("GET", &format!("{GROUP}/{path}"), None).await.unwrap_or_default();
        let webhooks = found["webhooks"].as_array().cloned().unwrap_or_default();
        let conditions =
            webhooks.iter().flat_map(|webhook| webhook["matchConditions"].as_array().cloned().unwrap_or_default());
        let own = conditions.filter(|condition| condition["name"] == "not-holdfast");
        all.extend(own.map(|condition| condition["expression"].as_str().unwrap_or_default().to_owned()));
    }
    all
}

/// A line of the metrics of the first pod of the webhook.
async fn has_metric(test: &Test, line: &str) {
    test.eventually(line, || async {
        let pod = test.cluster.player.pods_of(WEBHOOK).into_iter().find(|pod| pod.ready).ok_or("no pod is ready")?;
        let reported = answers(&format!("{}:8081", pod.address), "/metrics", 200).await;
        if reported.contains(line) {
            Ok(())
        } else {
            Err(reported.lines().filter(|line| line.contains("exempt")).collect())
        }
    })
    .await;
}

fn metric(cluster: &str, kind: &str, users: u32) -> String {
    format!(
        "holdfast_webhook_exempt_users{{cluster=\"{cluster}\",configuration=\"{kind}WebhookConfiguration\"}} {users}\n"
    )
}

/// The Secret with the kubeconfig of the target, which is this same cluster.
async fn create_target_kubeconfig(test: &Test, account: &Account) {
    let directory = test.cluster.control_plane.directory();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": format!("https://{}", test.cluster.control_plane.api_server()),
            "certificate-authority": directory.join("certificates/apiserver.crt")}}],
        "users": [{"name": "x", "user": {"token": account.token}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    });
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "target"},
        "stringData": {"kubeconfig": kubeconfig.to_string()}});
    Test::within(Arc::clone(&test.cluster), SYSTEM).create("secrets", &secret).await;
}

/// The webhook says that the configuration of the role that is over goes, and whom it exempts.
fn roles_reported(test: &Test, account: &Account) {
    let logs: String =
        test.cluster.player.pods_of(WEBHOOK).iter().map(|pod| test.cluster.player.logs(SYSTEM, &pod.name)).collect();
    let reported = |part: &str| logs.lines().any(|line| line.contains(part) && line.contains(&account.user));
    assert!(reported("it is obsolete, and will be removed soon") && reported("exempts other users"), "{logs}");
}

/// The target is this same cluster, as on the real node where that was found.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_exempt_any_more_when_source_and_target_become_one() {
    let test = Test::on(Arc::new(Cluster::installed().await), "roles").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let account = Account::create(&test, "target").await;
    let user = format!("--as={}", account.user);
    let edit = ["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#, &user];
    assert!(printed(&test.admin.with(&edit).await).contains("is managed by"), "whoever it is, he is refused");

    // Nobody has installed Target yet, and the release is complete all the same.
    create_target_kubeconfig(&test, &account).await;
    upgrade(
        &test,
        &[
            "clusters.role=Source",
            "clusters.targetKubeconfig.secretName=target",
            "clusters.advertiseURL=https://127.0.0.1:9443",
        ],
    )
    .await;
    let absent =
        r#"holdfast_webhook_configuration_absent{cluster="target",configuration="MutatingWebhookConfiguration"} 1"#;
    has_metric(&test, absent).await;
    test.eventually("the user of the kubeconfig to be exempt", || async {
        let found = exempt(&test).await;
        if found.len() == 4 && found.iter().all(|one| one.contains(&account.user)) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
    has_metric(&test, &metric("target", "Validating", 1)).await;

    upgrade(&test, &[]).await;
    test.eventually("nobody to be exempt", || async {
        let found = exempt(&test).await;
        if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    for kind in ["Validating", "Mutating"] {
        has_metric(&test, &metric("source", kind, 0)).await;
    }
    test.eventually("his edits to be refused again", || async {
        let printed = printed(&test.admin.with(&edit).await);
        if printed.contains("is managed by") { Ok(()) } else { Err(printed) }
    })
    .await;
    roles_reported(&test, &account);
    let versions = async || -> Value {
        let found = test.call("GET", &format!("{GROUP}/validatingwebhookconfigurations/holdfast"), None).await.unwrap();
        found["metadata"]["resourceVersion"].clone()
    };
    let before = versions().await;
    nothing_happens_for(std::time::Duration::from_secs(3), "the configurations are written").await;
    assert_eq!(versions().await, before, "nobody writes any more");
}
