//! Watches of the kinds in use: metadata only, filtered by our label, one a kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures::StreamExt as _;
use holdfast_core::{
    digest::Key,
    discovery::ApiInfo,
    drift::{Live, Observed},
    key::{GroupKind, Gvk, ObjectKey},
    names,
};
use kube::{
    Api, Client, ResourceExt as _,
    core::{ApiResource, DynamicObject, PartialObjectMeta},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{queue::Queue, world::World};

/// Starts watches as kinds come into use.
pub struct Targets {
    client: Client,
    digest_key: Key,
    world: Arc<World>,
    queue: Arc<Queue>,
    token: CancellationToken,
    running: Mutex<BTreeMap<GroupKind, JoinHandle<()>>>,
}

impl Targets {
    /// Without watches.
    pub fn new(
        client: Client,
        digest_key: Key,
        world: Arc<World>,
        queue: Arc<Queue>,
        token: CancellationToken,
    ) -> Self {
        Self { client, digest_key, world, queue, token, running: Mutex::default() }
    }

    /// Makes sure that a kind is watched. A watch that ended (it never should) is started anew.
    pub fn ensure(&self, gvk: &Gvk, info: &ApiInfo) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(&gvk.group_kind()).is_some_and(|watch| !watch.is_finished()) {
            return;
        }
        let watch = Watch {
            kind: gvk.group_kind(),
            digest_key: self.digest_key.clone(),
            api: Api::all_with(self.client.clone(), &api_resource(gvk, &info.plural)),
            world: Arc::clone(&self.world),
            queue: Arc::clone(&self.queue),
        };
        tracing::debug!(kind = %gvk, "watching");
        let token = self.token.clone();
        let task = tokio::spawn(async move {
            token.run_until_cancelled(watch.run()).await;
        });
        running.insert(gvk.group_kind(), task);
    }
}

/// kube's name for a kind.
pub fn api_resource(gvk: &Gvk, plural: &str) -> ApiResource {
    ApiResource {
        group: gvk.group.clone(),
        version: gvk.version.clone(),
        api_version: gvk.api_version(),
        kind: gvk.kind.clone(),
        plural: plural.to_owned(),
    }
}

/// The same reading of metadata for answers and for watches, so that digests compare.
pub fn observed(object: &PartialObjectMeta<DynamicObject>, kind: &str, key: &Key) -> Observed {
    Observed::of(&serde_json::json!({ "metadata": object.metadata }), kind, key)
}

struct Watch {
    kind: GroupKind,
    digest_key: Key,
    api: Api<PartialObjectMeta<DynamicObject>>,
    world: Arc<World>,
    queue: Arc<Queue>,
}

impl Watch {
    async fn run(self) {
        let config = watcher::Config::default().labels(names::LABEL_PROTECTION);
        let mut events = pin!(watcher(self.api.clone(), config).default_backoff());
        let mut listed = BTreeSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(self.key(&object));
                    self.observe(
                        &self.key(&object),
                        Live::Present(observed(&object, &self.kind.kind, &self.digest_key)),
                    );
                }
                Ok(Event::InitDone) => {
                    let held = self.world.held_of_kind(&self.kind);
                    held.iter().filter(|key| !listed.contains(key)).for_each(|key| self.observe(key, Live::Gone));
                    listed.clear();
                }
                Ok(Event::Apply(object)) => {
                    self.observe(
                        &self.key(&object),
                        Live::Present(observed(&object, &self.kind.kind, &self.digest_key)),
                    );
                }
                Ok(Event::Delete(object)) => self.observe(&self.key(&object), Live::Gone),
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

    fn observe(&self, key: &ObjectKey, live: Live) {
        if let Some(owner) = self.world.observe(key, live) {
            tracing::debug!(object = %key, managed_resource = %owner, "changed by others");
            self.queue.add(owner);
        }
    }

    fn key(&self, object: &PartialObjectMeta<DynamicObject>) -> ObjectKey {
        ObjectKey {
            group: self.kind.group.clone(),
            kind: self.kind.kind.clone(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        }
    }
}
