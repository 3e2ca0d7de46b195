//! Watches of the kinds in use: filtered by our label, one a kind. Of which kinds more is read than metadata is data: a
//! [`Reducer`] by kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures::StreamExt as _;
use holdfast_core::{
    digest::Key,
    inventory::drift::{Live, Observed},
    key::{GroupKind, ObjectKey},
    manifest::discovery::Discovery,
    names,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    core::ApiResource,
    runtime::watcher::{self, Event},
};
use tokio::task::JoinHandle;

use super::{
    autoscalers::Autoscalers,
    context::WatchContext,
    reducer::{MetadataEvents, Reducer, key},
    watch_status::{Role, WatchStatus},
};
use crate::{
    metrics::{KindLabels, Metrics},
    queue::Queue,
    state::{ClusterState, DriftNotice, Scope},
    target::partial_object::api_resource,
};

/// Starts watches as kinds come into use, and ends them when they are not used any more.
pub struct ObjectWatches {
    /// The target, and where its news goes.
    pub context: WatchContext,
    digest_key: Key,
    metrics: Metrics,
    /// Kinds of which more than metadata is read.
    reducers: BTreeMap<GroupKind, Reducer>,
    running: Mutex<BTreeMap<GroupKind, Running>>,
    /// Watched for as long as a manifest needs to know what they scale.
    pub autoscalers: Autoscalers,
}

struct Running {
    version: String,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ObjectWatches {
    /// Without watches.
    pub fn new(
        context: WatchContext,
        digest_key: Key,
        metrics: Metrics,
        reducers: BTreeMap<GroupKind, Reducer>,
    ) -> Self {
        let autoscalers = Autoscalers::new(context.clone());
        Self { context, digest_key, metrics, reducers, running: Mutex::default(), autoscalers }
    }

    /// Makes sure that a kind that is served is watched, in its preferred version. A watch that fails goes on trying by itself,
    /// every few seconds at the least: passes come far more often.
    pub fn ensure(&self, kind: &GroupKind, served: &Discovery) {
        let watched = served.preferred(kind).and_then(|gvk| Some((gvk.clone(), served.get(&gvk)?)));
        let Some((gvk, info)) = watched.filter(|(_, info)| info.is_watchable()) else {
            return;
        };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(kind).is_some_and(|watch| !watch.task.is_finished() && watch.version == gvk.version) {
            return;
        }
        // First, or what the new one tells would be taken back.
        running.remove(kind);
        let watch = Watch {
            kind: kind.clone(),
            digest_key: self.digest_key.clone(),
            events: self.events(kind, &api_resource(&gvk, &info.plural)),
            state: Arc::clone(&self.context.state),
            queue: Arc::clone(&self.context.queue),
            metrics: self.metrics.clone(),
            status: WatchStatus::new(
                Role::Objects,
                kind.clone(),
                &info.plural,
                &self.context.traffic,
                &self.context.failing,
            ),
        };
        tracing::debug!(kind = %gvk, "watching");
        let token = self.context.token.clone();
        let task = tokio::spawn(async move {
            token.run_until_cancelled(watch.run()).await;
        });
        running.insert(kind.clone(), Running { version: gvk.version, task });
    }

    fn events(&self, kind: &GroupKind, resource: &ApiResource) -> MetadataEvents {
        let config = watcher::Config::default().labels(names::LABEL_PROTECTION);
        self.reducers.get(kind).cloned().unwrap_or_default().watch(&self.context.client, kind, resource, config)
    }

    /// Ends the watches of kinds of which nothing is held any more.
    pub fn retain_used(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked under the lock, so that nobody begins to use a kind meanwhile: claims come before watches.
        let used = self.context.state.managed_resources.kinds();
        if !self.context.state.manifests.heed_autoscalers() {
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
fn is_terminating(object: &ObjectMeta) -> bool {
    let has_finalizers = object.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty());
    object.deletion_timestamp.is_some() && has_finalizers
}

struct Watch {
    kind: GroupKind,
    digest_key: Key,
    events: MetadataEvents,
    state: Arc<ClusterState>,
    queue: Arc<Queue>,
    metrics: Metrics,
    status: WatchStatus,
}

impl Watch {
    async fn run(mut self) {
        let mut listed = BTreeSet::new();
        loop {
            let (event, is_news) = tokio::select! {
                event = self.events.next() => {
                    let Some(event) = event else { return };
                    let is_news = self.status.observe(&event);
                    (event, is_news)
                }
                is_news = self.status.quiet() => {
                    self.report(is_news);
                    continue;
                }
            };
            self.report(is_news);
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(key(&self.kind, &object));
                    self.take(object);
                }
                Ok(Event::InitDone) => {
                    let applied = self.state.objects.of_kind(&self.kind);
                    applied
                        .iter()
                        .filter(|key| !listed.contains(key))
                        .for_each(|key| self.observe(key, Live::Gone, None));
                    listed.clear();
                }
                Ok(Event::Apply(object)) => self.take(object),
                // Somebody took the label of an object that is being deleted: it is not gone, and nothing more will be heard.
                Ok(Event::Delete(object)) if is_terminating(&object) => {
                    let key = key(&self.kind, &object);
                    self.take(object);
                    self.state.objects.set_terminating_unlabelled(&key);
                }
                Ok(Event::Delete(object)) => {
                    self.observe(&key(&self.kind, &object), Live::Gone, object.uid.as_deref());
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

    /// The conditions of those who have objects of this kind say whether they are watched.
    fn report(&self, is_news: bool) {
        if is_news {
            self.state.manifests.users_of_kind(&self.kind).into_iter().for_each(|mr| self.queue.add(mr));
        }
    }

    fn take(&self, object: ObjectMeta) {
        let key = key(&self.kind, &object);
        let Some(Scope { preserve, managed_scope }) = self.state.scope_unless_own_write(&key, &object) else { return };
        let live = Observed::of(object, &self.kind.kind, preserve, &managed_scope, &self.digest_key);
        self.observe(&key, Live::Present(live), None);
    }

    fn observe(&self, key: &ObjectKey, live: Live, gone: Option<&str>) {
        let Some(DriftNotice { mr, is_first, is_deferred }) = self.state.observe(key, live, gone) else { return };
        if is_first {
            tracing::debug!(object = %key, managed_resource = %mr, "changed by others");
            self.metrics.drift.get_or_create(&KindLabels { kind: self.kind.to_string() }).inc();
        }
        if !is_deferred {
            self.queue.add(mr);
        }
    }
}
