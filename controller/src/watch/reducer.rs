//! What is read of the objects of a kind, and what is kept of them.
//!
//! A watch yields metadata. A kind can be read whole all the same: each object is reduced as soon as it is there to what
//! somebody keeps of it, and dropped. Which kinds these are is data, so that no watch depends on what others keep.

use std::{collections::BTreeSet, sync::Arc};

use futures::{Stream, StreamExt as _, stream::BoxStream};
use holdfast_core::key::{GroupKind, ObjectKey};
use holdfast_runtime::{api::Api, delays::patient};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Client,
    core::ApiResource,
    runtime::watcher::{self, Event, watcher},
};

use super::full_object::FullObject;
use crate::target::partial_object::PartialObject;

/// Objects in an answer to a list of whole objects: so many are in memory at a time.
const PAGE: u32 = 100;

/// Keeps what it needs of an object; `None`: the object is gone. It must not block.
pub(crate) type Keep = Arc<dyn Fn(&ObjectKey, Option<&FullObject>) + Send + Sync>;

/// How the objects of a kind are read. What was kept of a kind stays when its watch ends.
#[derive(Clone, Default)]
pub(crate) enum Reducer {
    /// The API server is asked for metadata only.
    #[default]
    Metadata,
    /// Whole, for this.
    Full(Keep),
}

/// What a watch yields.
pub(crate) type MetadataEvents = BoxStream<'static, watcher::Result<Event<ObjectMeta>>>;

impl Reducer {
    /// Follows the objects of a kind in all namespaces, those that `config` selects. Never ends; errors are followed by a pause.
    pub(crate) fn watch(
        &self,
        client: &Client,
        kind: &GroupKind,
        resource: &ApiResource,
        config: watcher::Config,
    ) -> MetadataEvents {
        match self {
            Self::Metadata => {
                let api: Api<PartialObject> = Api::all_with(client.clone(), resource);
                let events = patient(watcher(api.collection(), config));
                events.map(|event| event.map(|event| map(event, |object| object.metadata))).boxed()
            }
            Self::Full(keep) => {
                let api: Api<FullObject> = Api::all_with(client.clone(), resource);
                let events = patient(watcher(api.collection(), config.page_size(PAGE)));
                reduced(kind.clone(), events, Arc::clone(keep)).boxed()
            }
        }
    }
}

/// The key of an object of a kind.
pub(crate) fn key(kind: &GroupKind, metadata: &ObjectMeta) -> ObjectKey {
    let [namespace, name] = [&metadata.namespace, &metadata.name].map(|part| part.as_deref().unwrap_or_default());
    ObjectKey::new(&kind.group, &kind.kind, namespace, name)
}

fn reduced(
    kind: GroupKind,
    events: impl Stream<Item = watcher::Result<Event<FullObject>>> + Send,
    keep: Keep,
) -> impl Stream<Item = watcher::Result<Event<ObjectMeta>>> + Send {
    let mut reduction = Reduction { kind, keep, reduced: BTreeSet::new(), listed: BTreeSet::new() };
    events.map(move |event| event.map(|event| reduction.reduce(event)))
}

/// Of which objects something is kept, and which of them the list has that is being read.
struct Reduction {
    kind: GroupKind,
    keep: Keep,
    reduced: BTreeSet<ObjectKey>,
    listed: BTreeSet<ObjectKey>,
}

impl Reduction {
    fn reduce(&mut self, event: Event<FullObject>) -> Event<ObjectMeta> {
        match &event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                let key = self.take(object);
                self.listed.insert(key);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.reduced.difference(&listed).for_each(|key| (self.keep)(key, None));
                self.reduced = listed;
            }
            Event::Apply(object) => drop(self.take(object)),
            Event::Delete(object) => {
                let key = key(&self.kind, &object.metadata);
                (self.keep)(&key, None);
                self.reduced.remove(&key);
            }
        }
        map(event, |object| object.metadata)
    }

    fn take(&mut self, object: &FullObject) -> ObjectKey {
        let key = key(&self.kind, &object.metadata);
        (self.keep)(&key, Some(object));
        self.reduced.insert(key.clone());
        key
    }
}

fn map<K, L>(event: Event<K>, of: impl FnOnce(K) -> L) -> Event<L> {
    match event {
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(of(object)),
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(of(object)),
        Event::Delete(object) => Event::Delete(of(object)),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{Mutex, PoisonError},
    };

    use futures::stream;
    use serde_json::{Value, json};

    use super::*;

    /// Replicas by name, `None` once an object is gone: a use that keeps one number of each Deployment.
    type Replicas = Arc<Mutex<BTreeMap<String, Option<Value>>>>;

    fn keep(replicas: &Replicas) -> Keep {
        let replicas = Arc::clone(replicas);
        Arc::new(move |key, object| {
            let reduced = object.map(|object| object.spec["replicas"].clone());
            replicas.lock().unwrap_or_else(PoisonError::into_inner).insert(key.name().to_owned(), reduced);
        })
    }

    fn deployment(name: &str, replicas: u32) -> FullObject {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "n", "generation": 7},
            "spec": {"replicas": replicas},
        });
        serde_json::from_value(object).unwrap()
    }

    #[tokio::test]
    async fn of_whole_objects_only_what_is_kept_stays() {
        let replicas = Replicas::default();
        let kind = GroupKind { group: "apps".to_owned(), kind: "Deployment".to_owned() };
        let steps: [(Vec<Event<FullObject>>, Value); 4] = [
            (
                vec![
                    Event::Init,
                    Event::InitApply(deployment("a", 1)),
                    Event::InitApply(deployment("b", 2)),
                    Event::InitDone,
                ],
                json!({"a": 1, "b": 2}),
            ),
            (vec![Event::Apply(deployment("a", 3)), Event::Apply(deployment("c", 0))], json!({"a": 3, "b": 2, "c": 0})),
            (vec![Event::Delete(deployment("b", 2))], json!({"a": 3, "b": null, "c": 0})),
            // After a gap: `c` went meanwhile.
            (
                vec![Event::Init, Event::InitApply(deployment("a", 2)), Event::InitDone],
                json!({"a": 2, "b": null, "c": null}),
            ),
        ];
        let all = stream::iter(steps.iter().flat_map(|(events, _)| events.clone()).map(Ok).collect::<Vec<_>>());
        let mut reduced = Box::pin(reduced(kind, all, keep(&replicas)));
        for (events, expected) in &steps {
            for event in events {
                let seen = reduced.next().await.unwrap().unwrap();
                let text = |event: Event<ObjectMeta>| format!("{event:?}");
                assert_eq!(text(seen), text(map(event.clone(), |object| object.metadata)), "metadata go on");
            }
            assert_eq!(serde_json::to_value(&*replicas.lock().unwrap()).unwrap(), *expected);
        }
    }
}
