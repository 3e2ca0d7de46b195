//! Watches of the kinds in use: metadata only, filtered by our label, one a kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::StreamExt as _;
use holdfast_core::{
    digest::Key,
    discovery::Discovery,
    drift::{Live, Observed},
    key::{GroupKind, ObjectKey},
    names,
};
use holdfast_runtime::{api::Api, delays::Delays};
use kube::{
    Client,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    autoscalers::Autoscalers,
    metadata::{Metadata, api},
    metrics::{Kind, Metrics},
    queue::Queue,
    world::{Noticed, World},
};

/// Starts watches as kinds come into use, and ends them when they are not used any more.
pub struct Targets {
    client: Client,
    digest_key: Key,
    world: Arc<World>,
    queue: Arc<Queue>,
    metrics: Metrics,
    token: CancellationToken,
    running: Mutex<BTreeMap<GroupKind, Running>>,
    /// Watched as long as workloads are.
    pub autoscalers: Autoscalers,
}

struct Running {
    version: String,
    /// The last word of the watch was an error.
    is_failing: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Targets {
    /// Without watches.
    pub fn new(
        client: Client,
        digest_key: Key,
        world: Arc<World>,
        queue: Arc<Queue>,
        metrics: Metrics,
        token: CancellationToken,
    ) -> Self {
        let autoscalers = Autoscalers::new(client.clone(), Arc::clone(&world), Arc::clone(&queue), token.clone());
        Self { client, digest_key, world, queue, metrics, token, running: Mutex::default(), autoscalers }
    }

    /// Makes sure that a kind that is served is watched, in its preferred version. A watch that fails is started anew: the
    /// kind may be back, and its own next try may be half a minute away.
    pub fn ensure(&self, kind: &GroupKind, served: &Discovery) {
        let watched = served.preferred(kind).and_then(|gvk| Some((gvk.clone(), served.get(&gvk)?)));
        let Some((gvk, info)) = watched.filter(|(_, info)| info.is_watchable()) else {
            return;
        };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let is_well = |watch: &Running| {
            !watch.task.is_finished() && watch.version == gvk.version && !watch.is_failing.load(Ordering::Relaxed)
        };
        if running.get(kind).is_some_and(is_well) {
            return;
        }
        let is_failing = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            kind: kind.clone(),
            digest_key: self.digest_key.clone(),
            api: api(&self.client, &gvk, &info.plural, ""),
            world: Arc::clone(&self.world),
            queue: Arc::clone(&self.queue),
            metrics: self.metrics.clone(),
            is_failing: Arc::clone(&is_failing),
        };
        tracing::debug!(kind = %gvk, "watching");
        let token = self.token.clone();
        let task = tokio::spawn(async move {
            token.run_until_cancelled(watch.run()).await;
        });
        running.insert(kind.clone(), Running { version: gvk.version, is_failing, task });
    }

    /// Ends the watches of kinds of which nothing is held any more.
    pub fn retain_used(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked under the lock, so that nobody begins to use a kind meanwhile: claims come before watches.
        let used = self.world.kinds();
        if !self.world.heeds_autoscalers() {
            self.autoscalers.stop();
        }
        running.retain(|kind, _| {
            let is_used = used.contains(kind);
            if !is_used {
                tracing::debug!(%kind, "not watching any more");
            }
            is_used
        });
    }
}

/// Whether deletion has begun and something still holds the object.
fn is_dying(object: &Metadata) -> bool {
    let is_held = object.metadata.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty());
    object.metadata.deletion_timestamp.is_some() && is_held
}

struct Watch {
    kind: GroupKind,
    digest_key: Key,
    api: Api<Metadata>,
    world: Arc<World>,
    queue: Arc<Queue>,
    metrics: Metrics,
    is_failing: Arc<AtomicBool>,
}

impl Watch {
    async fn run(self) {
        let config = watcher::Config::default().labels(names::LABEL_PROTECTION);
        let mut events = pin!(watcher(self.api.collection(), config).backoff(Delays::default()));
        let mut listed = BTreeSet::new();
        while let Some(event) = events.next().await {
            self.is_failing.store(event.is_err(), Ordering::Relaxed);
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(self.key(&object));
                    self.take(object);
                }
                Ok(Event::InitDone) => {
                    let held = self.world.held_of_kind(&self.kind);
                    held.iter().filter(|key| !listed.contains(key)).for_each(|key| self.observe(key, Live::Gone, None));
                    listed.clear();
                }
                Ok(Event::Apply(object)) => self.take(object),
                // Somebody took the label of an object that is being deleted: it is not gone, and nothing more will be heard.
                Ok(Event::Delete(object)) if is_dying(&object) => {
                    let key = self.key(&object);
                    self.take(object);
                    self.world.set_hidden(&key);
                }
                Ok(Event::Delete(object)) => {
                    self.observe(&self.key(&object), Live::Gone, object.metadata.uid.as_deref());
                }
                Err(error) => {
                    tracing::debug!(
                        kind = self.kind.kind,
                        group = self.kind.group,
                        error = holdfast_runtime::exit::chain(&error),
                        "watch failed; trying again"
                    );
                }
            }
        }
    }

    fn take(&self, object: Metadata) {
        let key = self.key(&object);
        let Some((preserve, reach)) = self.world.unless_echo(&key, &object.metadata) else { return };
        let live = Observed::of(object.metadata, &self.kind.kind, preserve, &reach, &self.digest_key);
        self.observe(&key, Live::Present(live), None);
    }

    fn observe(&self, key: &ObjectKey, live: Live, gone: Option<&str>) {
        let Some(Noticed { mr, is_first, is_left }) = self.world.observe(key, live, gone) else { return };
        if is_first {
            tracing::debug!(object = %key, managed_resource = %mr, "changed by others");
            self.metrics.drift.get_or_create(&Kind { kind: self.kind.to_string() }).inc();
        }
        if !is_left {
            self.queue.add(mr);
        }
    }

    fn key(&self, object: &Metadata) -> ObjectKey {
        let metadata = &object.metadata;
        let [namespace, name] = [&metadata.namespace, &metadata.name].map(|part| part.as_deref().unwrap_or_default());
        ObjectKey::new(&self.kind.group, &self.kind.kind, namespace, name)
    }
}
