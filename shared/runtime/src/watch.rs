//! ManagedResources as a stream of events that never ends.
//!
//! One object that cannot be decoded does not end the watch: it is logged, and whatever was known of it stays.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::future::ready;

use futures::{Stream, StreamExt as _};
use holdfast_core::api::ManagedResource;
use holdfast_core::key::NamespacedName;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::Deserialize;
use serde_json::Value;

use crate::api::Api;
use crate::delays::patient;

pub use crate::watch_errors::WatchErrors;

/// What happened to ManagedResources.
#[derive(Clone, Debug)]
pub enum MrEvent {
    /// A complete list: the first one, or a new one after a gap. What is in neither part is gone.
    Restarted {
        /// All that exist and can be read.
        objects: Vec<ManagedResource>,
        /// Those that exist and cannot be read; the last known state of them counts.
        unreadable: BTreeSet<NamespacedName>,
    },
    /// Created or changed.
    Applied(Box<ManagedResource>),
    /// Gone.
    Deleted(NamespacedName),
}

/// Follows the ManagedResources of a namespace, or of all. Errors are followed by a pause of a tenth of a second to five
/// seconds and another try; the stream never ends. `metadata.managedFields` is left out.
pub fn managed_resources(
    client: Client,
    namespace: Option<&str>,
) -> impl Stream<Item = Result<MrEvent, watcher::Error>> + Send + use<> {
    let api: Api<Unread> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut collector = Collector::default();
    patient(watcher(api.collection(), watcher::Config::default())).filter_map(move |event| {
        ready(match event {
            Ok(event) => collector.take(event).map(Ok),
            Err(error) => Some(Err(error)),
        })
    })
}

/// A ManagedResource of which only the metadata has been read. kube's own type for objects of any kind collects all of it in
/// one more intermediate form.
#[derive(Clone, Debug, Deserialize)]
struct Unread {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

impl Resource for Unread {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        ManagedResource::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        ManagedResource::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        ManagedResource::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        ManagedResource::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Turns a watcher's events into ours; holds back a list until it is complete.
#[derive(Default)]
struct Collector {
    objects: Vec<ManagedResource>,
    unreadable: BTreeSet<NamespacedName>,
}

impl Collector {
    fn take(&mut self, event: Event<Unread>) -> Option<MrEvent> {
        match event {
            Event::Init => {
                *self = Self::default();
                None
            }
            Event::InitApply(object) => {
                match decode(object) {
                    Ok(object) => self.objects.push(object),
                    Err(key) => drop(self.unreadable.insert(key)),
                }
                None
            }
            Event::InitDone => {
                let Self { objects, unreadable } = std::mem::take(self);
                Some(MrEvent::Restarted { objects, unreadable })
            }
            Event::Apply(object) => Some(MrEvent::Applied(Box::new(decode(object).ok()?))),
            Event::Delete(object) => Some(MrEvent::Deleted(key(&object))),
        }
    }
}

fn key(object: &Unread) -> NamespacedName {
    NamespacedName::new(object.namespace().unwrap_or_default(), object.name_any())
}

/// The error is logged here.
fn decode(object: Unread) -> Result<ManagedResource, NamespacedName> {
    let key = key(&object);
    let Unread { mut metadata, spec, status } = object;
    metadata.managed_fields = None;
    // Null is nothing.
    match (serde_json::from_value::<Option<_>>(spec), serde_json::from_value(status)) {
        (Ok(spec), Ok(status)) => Ok(ManagedResource { metadata, spec: spec.unwrap_or_default(), status }),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(managed_resource = %key, %error, "this ManagedResource cannot be read; its last known state stays");
            Err(key)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, spec: &Value) -> Unread {
        serde_json::from_value(json!({
            "apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource",
            "metadata": {"namespace": "n", "name": name}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn lists_are_held_back_and_bad_objects_set_aside() {
        let (good, bad) = (json!({"secretRefs": [{"name": "s"}]}), json!({"secretRefs": 7}));
        let mut collector = Collector::default();
        for event in [Event::Init, Event::InitApply(object("stale", &good)), Event::Init] {
            assert!(collector.take(event).is_none());
        }
        assert!(collector.take(Event::InitApply(object("a", &good))).is_none());
        assert!(collector.take(Event::InitApply(object("b", &bad))).is_none());
        let Some(MrEvent::Restarted { objects, unreadable }) = collector.take(Event::InitDone) else { panic!() };
        assert_eq!(objects.iter().map(|mr| mr.key().to_string()).collect::<Vec<_>>(), ["n/a"]);
        assert_eq!(objects[0].secret_names(), ["s"]);
        assert!(unreadable.contains(&NamespacedName::new("n", "b")));
        assert!(
            matches!(collector.take(Event::Apply(object("c", &good))), Some(MrEvent::Applied(mr)) if mr.key().name == "c")
        );
        assert!(collector.take(Event::Apply(object("c", &bad))).is_none());
        // The API server does not check entries of the inventory.
        let mut unreadable_status = object("c", &good);
        unreadable_status.status = json!({"resources": [{"apiVersion": "v1", "kind": "ConfigMap", "name": 7}]});
        assert!(collector.take(Event::Apply(unreadable_status)).is_none());
        assert!(
            matches!(collector.take(Event::Delete(object("c", &bad))), Some(MrEvent::Deleted(key)) if key.name == "c")
        );
    }
}
