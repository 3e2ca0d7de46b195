//! An API server that shows a client certificate, and a webhook that asks for one.
use holdfast_e2e::install::NAMESPACE;
use holdfast_e2e::node::Spec;

use crate::harness::{Node, WEBHOOK, directory, row};

#[tokio::test]
async fn the_api_server_shows_its_certificate() {
    let node = Node::cleared().await;
    node.does(&format!("create namespace {NAMESPACE}")).await;
    let authority = Spec::read(&directory().unwrap()).unwrap().webhook_client_authority();
    assert!(authority.is_file());
    let file = format!("--from-file=ca.crt={}", authority.display());
    node.with(&["create", "configmap", "webhook-clients", "-n", NAMESPACE, &file]).await;
    let values = [
        "webhook.clientCertificates.configMap=webhook-clients",
        "webhook.clientCertificates.names={kube-apiserver}",
        "webhook.failurePolicy=Fail",
    ];
    node.install("install", &values).await;
    node.declare("edited").await;
    let edits = node.edits("edited").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let tally = edits.end().await.unwrap();
    row("client certificate shown, edits", &tally.described());
    assert!(tally.are_all_refused(50), "{tally:#?}");
    let printed = node.logs(WEBHOOK).await;
    assert!(!printed.contains("client certificate"), "{printed}");
}
