//! Follows all Pods and gives each of ours a task of its own.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use holdfast_runtime::api::Api;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Stage, pod};

/// Below the 30 s after which a silent connection counts as dead.
pub(super) const WATCH_SECONDS: u32 = 25;
/// After a failed watch. Short, since tests restart API servers.
pub(super) const RETRY: Duration = Duration::from_millis(200);

struct Kubelet {
    stage: Arc<Stage>,
    playing: BTreeMap<String, CancellationToken>,
    listed: BTreeSet<String>,
}

/// Runs until the player stops.
pub(super) async fn run(stage: Arc<Stage>) {
    let stop = stage.stop.clone();
    let pods: Api<Pod> = Api::all(stage.client.clone());
    let mut events = Box::pin(watcher(pods.collection(), watcher::Config::default().timeout(WATCH_SECONDS)));
    let mut kubelet = Kubelet { stage, playing: BTreeMap::new(), listed: BTreeSet::new() };
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.try_next() => event,
        };
        match event {
            Ok(Some(event)) => kubelet.handle(event),
            Ok(None) => return,
            Err(error) => {
                warn!(%error, "the watch of Pods failed; it is tried again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

impl Kubelet {
    fn handle(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.listed.extend(pod.uid());
                self.apply(pod);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<String> = self.playing.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
                for uid in &gone {
                    self.end(uid);
                }
            }
            Event::Apply(pod) => self.apply(pod),
            Event::Delete(pod) => self.end(&pod.uid().unwrap_or_default()),
        }
    }

    fn apply(&mut self, pod: Pod) {
        let Some(uid) = pod.uid() else { return };
        if pod.meta().deletion_timestamp.is_some() {
            // Some finalizer keeps the object; the program ends all the same.
            self.end(&uid);
        } else if self.playing.contains_key(&uid) {
            self.stage.roster.change(&uid, |played| played.labels = pod.labels().clone());
        } else {
            let stop = self.stage.stop.child_token();
            if let Some(task) = pod::Play::new(Arc::clone(&self.stage), pod, stop.clone()) {
                self.playing.insert(uid, stop);
                self.stage.tasks.spawn(task.run());
            }
        }
    }

    fn end(&mut self, uid: &str) {
        if let Some(stop) = self.playing.remove(uid) {
            stop.cancel();
        }
    }
}
