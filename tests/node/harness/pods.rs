//! Pods and their containers.
use std::collections::BTreeSet;
use std::process::Stdio;

use holdfast_e2e::install::NAMESPACE;
use holdfast_e2e::wait;
use serde_json::Value;
use tokio::process::Command;

use super::{LIMIT, Node};

/// Deployment, container and component.
pub const CONTROLLER: &str = "controller";
/// Deployment, container and component.
pub const WEBHOOK: &str = "webhook";

/// A pod of ours.
#[derive(Clone, Debug)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub ready: bool,
    pub terminating: bool,
    pub restarts: u64,
    container: String,
}

impl Pod {
    fn read(pod: &Value) -> Self {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let conditions = pod["status"]["conditions"].as_array();
        Self {
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            ready: conditions.into_iter().flatten().any(|each| each["type"] == "Ready" && each["status"] == "True"),
            terminating: pod.pointer("/metadata/deletionTimestamp").is_some(),
            restarts: pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64).unwrap_or(0),
            container: text("/status/containerStatuses/0/containerID").trim_start_matches("containerd://").to_owned(),
        }
    }

    /// Sends a signal to the container's first process.
    pub async fn signal(&self, signal: &str) {
        let mut command = Command::new("ctr");
        command.args(["tasks", "kill", "--signal", signal, &self.container]).stdin(Stdio::null());
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{signal} {self:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The id of its container.
    pub fn container(&self) -> &str {
        &self.container
    }
}

impl Node {
    /// The pods of a component that are not ending.
    pub async fn pods(&self, component: &str) -> Vec<Pod> {
        let words = format!("pods -n {NAMESPACE} -l app.kubernetes.io/component={component}");
        let list = self.get(&words).await.unwrap_or_default();
        let pods = list["items"].as_array().into_iter().flatten().map(Pod::read);
        pods.filter(|pod| !pod.terminating).collect()
    }

    /// Waits for this many ready pods of a component, none of them in `old`, and nothing else of it.
    pub async fn ready_pods(&self, component: &str, count: usize, old: &BTreeSet<String>) -> Vec<Pod> {
        wait::eventually(&format!("{count} ready pods of the {component}"), LIMIT, || async {
            let pods = self.pods(component).await;
            let is_done = pods.len() == count && pods.iter().all(|pod| pod.ready && !old.contains(&pod.uid));
            if is_done { Ok(pods) } else { Err(format!("{pods:#?}")) }
        })
        .await
        .unwrap()
    }

    /// The names of the pods to which the webhook's Service leads.
    pub async fn endpoints(&self) -> BTreeSet<String> {
        let words = format!("endpointslices -n {NAMESPACE} -l kubernetes.io/service-name=holdfast-webhook");
        let list = self.get(&words).await.unwrap_or_default();
        let slices = list["items"].as_array().into_iter().flatten();
        let endpoints = slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        endpoints
            .filter(|endpoint| endpoint["conditions"]["ready"] == true)
            .filter_map(|endpoint| endpoint["targetRef"]["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// What a component has logged.
    pub async fn logs(&self, component: &str) -> String {
        let selector = format!("app.kubernetes.io/component={component}");
        self.with(&["logs", "-n", NAMESPACE, "-l", &selector, "--tail=-1", "--prefix"]).await
    }
}
