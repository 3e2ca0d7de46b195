//! Edits, one after the other, and what became of each.
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast_e2e::control_plane::User;
use holdfast_runtime::api::Api;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use super::Node;

/// 50 edits a second.
const INTERVAL: Duration = Duration::from_millis(20);

/// Alice edits a ConfigMap all the time.
pub struct Edits {
    tally: Arc<Mutex<Tally>>,
    sending: JoinHandle<()>,
    stop: tokio::sync::oneshot::Sender<()>,
}

/// What became of the edits.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many were refused in our words.
    pub refused: usize,
    /// How many of these by the admission policy, which is asked before the webhook.
    pub guarded: usize,
    /// When those were sent and answered that passed.
    pub passed: Vec<(Instant, Instant)>,
    /// How many were refused because nobody could judge them.
    pub unjudged: usize,
    /// What else was said.
    pub failed: Vec<String>,
    /// The longest time until an answer.
    pub slowest: Duration,
}

impl Edits {
    /// From now on, 50 edits a second, whether or not the earlier ones have been answered.
    pub async fn begin(node: &Node, name: &str) -> Self {
        let client = node.client(User::Alice).await;
        let api: Api<ConfigMap> = Api::namespaced(client, "default");
        let tally = Arc::<Mutex<Tally>>::default();
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let (name, counted) = (name.to_owned(), Arc::clone(&tally));
        let sending = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            let mut open = JoinSet::new();
            for turn in 0_usize.. {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = &mut stopped => break,
                }
                let (api, name, tally) = (api.clone(), name.clone(), Arc::clone(&counted));
                open.spawn(async move {
                    let patch = Patch::Merge(json!({"data": {"k": format!("alice-{turn}")}}));
                    let sent = Instant::now();
                    let answer = api.patch(&name, &PatchParams::default(), &patch).await;
                    let answered = Instant::now();
                    let mut tally = tally.lock().unwrap();
                    tally.slowest = tally.slowest.max(answered - sent);
                    match answer {
                        Ok(_) => tally.passed.push((sent, answered)),
                        Err(kube::Error::Api(status)) if status.message.contains("is managed by ManagedResource") => {
                            tally.refused += 1;
                            tally.guarded += usize::from(status.message.contains("ValidatingAdmissionPolicy"));
                        }
                        Err(kube::Error::Api(status)) if status.message.contains("failed calling webhook") => {
                            tally.unjudged += 1;
                        }
                        Err(error) => tally.failed.push(error.to_string()),
                    }
                });
                while open.try_join_next().is_some() {}
            }
            while open.join_next().await.is_some() {}
        });
        Self { tally, sending, stop }
    }

    /// What has become of them so far.
    pub fn so_far(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }

    /// Ends, and returns what has become of all.
    pub async fn end(self) -> Tally {
        let _ = self.stop.send(());
        self.sending.await.unwrap();
        let tally = self.tally.lock().unwrap().clone();
        assert!(tally.failed.is_empty(), "{} edits failed otherwise: {:?}", tally.failed.len(), tally.failed.first());
        tally
    }
}

impl Tally {
    /// In words, for the report.
    pub fn described(&self) -> String {
        let unjudged = if self.unjudged == 0 { String::new() } else { format!(", {} unjudged", self.unjudged) };
        format!("{} refused, {} passed{unjudged}", self.refused, self.passed.len())
    }
}
