//! Whoever has nothing but the README.
use std::fs;
use std::time::{Duration, Instant};

use holdfast_e2e::cache;

use crate::harness::{Node, figure};

/// The README's command to install the chart.
pub fn install_command() -> String {
    let readme = fs::read_to_string(cache::workspace().join("README.md")).unwrap();
    let found = readme.lines().find(|line| line.starts_with("helm install holdfast charts/holdfast"));
    found.expect("the README says how to install").to_owned()
}

#[tokio::test]
async fn the_words_of_the_readme_end_with_a_refused_edit() {
    let node = Node::cleared().await;
    // As strict as a namespace can be; what the chart asks for must not even be warned of.
    node.does("create namespace holdfast-system").await;
    for level in ["enforce", "warn", "audit"] {
        node.does(&format!("label namespace holdfast-system pod-security.kubernetes.io/{level}=restricted")).await;
    }
    let start = Instant::now();
    let command = install_command();
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let printed = node.helm(&words).await;
    assert!(!printed.to_lowercase().contains("warning: would violate"), "{printed}");
    figure("helm install --wait", start.elapsed(), Duration::from_secs(8));
    node.declare("first").await;
    figure("from images to the first refused edit", start.elapsed(), Duration::from_secs(15));
    let pods = node.get("pods -n holdfast-system").await.unwrap();
    let restarts =
        pods["items"].as_array().unwrap().iter().map(|pod| &pod["status"]["containerStatuses"][0]["restartCount"]);
    assert!(restarts.clone().count() >= 3 && restarts.clone().all(|count| *count == 0), "{pods:#}");
}

#[tokio::test]
async fn the_examples_run() {
    let node = Node::installed(&[]).await;
    let file = |name: &str| cache::workspace().join("hack/examples").join(name).display().to_string();
    node.with(&["apply", "-f", &file("1.yaml")]).await;
    node.does("wait --for=condition=ResourcesApplied mr/example --timeout=30s").await;
    node.does("get configmaps test-1234 test-5678").await;
    let start = Instant::now();
    node.with(&["apply", "-f", &file("2.yaml")]).await;
    node.does("wait --for=create deployment/nginx-deployment --timeout=30s").await;
    node.does("rollout status deployment nginx-deployment --timeout=60s").await;
    figure("example 2, from apply to running pods", start.elapsed(), Duration::from_secs(5));
    node.does("wait --for=delete configmap/test-1234 --timeout=10s").await;
    let printed = node.alice("scale deployment nginx-deployment --replicas=5").await.refusal().unwrap();
    assert!(printed.contains("spec.replicas is declared in Secret default/managedresource-example2"), "{printed}");
    // What belongs to the one who runs it passes, and the pods are replaced.
    node.alice("rollout restart deployment nginx-deployment").await.success().unwrap();
    node.does("rollout status deployment nginx-deployment --timeout=60s").await;
    let pods = node.get("pods -l foo=bar --field-selector status.phase=Running").await.unwrap();
    assert!(pods["items"].as_array().is_some_and(|pods| pods.len() >= 2), "{pods:#}");
    node.does("delete mr example --timeout=30s").await;
    node.does("wait --for=delete deployment/nginx-deployment --timeout=30s").await;
}
