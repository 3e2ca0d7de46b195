//! What the player reports about a Pod, as a kubelet would.
use std::net::Ipv4Addr;
use std::time::Duration;

use holdfast_runtime::api::Api;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::warn;

const LIMIT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(200);

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It has not been started (again) yet.
    Waiting { reason: &'static str, message: String },
    /// It has been running since then.
    Running { since: Timestamp },
}

/// Everything that goes into the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) container: String,
    pub(super) image: String,
    pub(super) address: Ipv4Addr,
    pub(super) begun: Timestamp,
    pub(super) state: State,
    pub(super) started: bool,
    pub(super) ready: bool,
    /// When `ready` changed last.
    pub(super) ready_changed: Timestamp,
    pub(super) restarts: u32,
    /// How the previous run ended.
    pub(super) last_end: Option<(i32, Timestamp)>,
}

impl Report {
    fn status(&self) -> Value {
        let condition = |kind: &str, holds: bool, changed: Timestamp| json!({"type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": seconds(changed)});
        let running = matches!(self.state, State::Running { .. });
        let state = match &self.state {
            State::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
            State::Running { since } => json!({"running": {"startedAt": seconds(*since)}}),
        };
        let last = self.last_end.map_or(json!({}), |(code, at)| {
            let reason = if code == 0 { "Completed" } else { "Error" };
            json!({"terminated": {"exitCode": code, "reason": reason, "finishedAt": seconds(at)}})
        });
        json!({
            // A container that waits for its next start does not make a running Pod pending again.
            "phase": if running || self.restarts > 0 { "Running" } else { "Pending" },
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": seconds(self.begun),
            "conditions": [
                condition("PodScheduled", true, self.begun),
                condition("Initialized", true, self.begun),
                condition("ContainersReady", self.ready, self.ready_changed),
                condition("Ready", self.ready, self.ready_changed),
            ],
            "containerStatuses": [{
                "name": self.container,
                "image": self.image,
                "imageID": "",
                "ready": self.ready,
                "started": self.started,
                "restartCount": self.restarts,
                "state": state,
                "lastState": last,
            }],
        })
    }
}

/// Kubernetes' times have no fractions.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Writes each new report to the API server, the latest only, until it succeeds or the Pod is gone; ends with the sender.
pub(super) async fn publish(pods: Api<Pod>, name: String, uid: String, mut reports: watch::Receiver<Report>) {
    loop {
        let report = reports.borrow_and_update().clone();
        // The uid keeps the report from hitting a namesake that came after.
        let body = json!({"metadata": {"uid": uid}, "status": report.status()});
        let parameters = PatchParams::default();
        let patch = Patch::Merge(&body);
        let written = tokio::time::timeout(LIMIT, pods.patch_status(&name, &parameters, &patch)).await;
        match written {
            Ok(Ok(_)) => {
                if reports.changed().await.is_err() {
                    return;
                }
            }
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() => return,
            Ok(Err(error)) => {
                warn!(pod = name, %error, "the status of a Pod was not written; it is tried again");
                tokio::time::sleep(RETRY).await;
            }
            Err(_) => warn!(pod = name, "the status of a Pod was not written within 10 s; it is tried again"),
        }
        if reports.has_changed().is_err() {
            return;
        }
    }
}
