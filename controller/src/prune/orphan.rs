//! Taking objects out of our hands without deleting them: to others, or to a garbage collector.

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    deletion::orphan,
    inventory::collectable,
    key::NamespacedName,
    names,
};
use holdfast_runtime::api::Api;
use serde_json::{Value, json};

use super::{delete::RemovalError, resource_of};
use crate::{
    reconcile::Reconciler,
    status::events::Reason,
    target::{
        client::{self, ApplyError},
        partial_object::{self, Metadata},
    },
};

/// How often an object is looked at in one go. More than once only if somebody writes at the same moment.
const TRIES: usize = 5;

/// Into whose hands objects go.
#[derive(Clone, Copy)]
pub(crate) enum Heir {
    /// Anybody's: their manifests say so.
    Others,
    /// The cluster's: they are Namespaces that every cluster has.
    Cluster,
    /// They are deleted when nothing refers to them.
    GarbageCollector,
}

impl Heir {
    /// The JSON patch that takes our marks off a live object; `None` if there is nothing to be done.
    fn patch(self, live: &Value, mr: &NamespacedName, cluster_id: &str) -> Option<Value> {
        match self {
            Self::Others | Self::Cluster => orphan::patch(live, mr, cluster_id),
            Self::GarbageCollector => orphan::patch_collectable(live, mr, cluster_id),
        }
    }

    fn news(self) -> (Reason, &'static str) {
        match self {
            Self::Others => (Reason::Released, "Left to others, because their manifests say so"),
            Self::Cluster => (Reason::Spared, "Not deleted but left to others, because every cluster has them"),
            Self::GarbageCollector => {
                (Reason::Kept, "Left to the garbage collector, which deletes them when nothing refers to them")
            }
        }
    }
}

/// What became of the objects that are taken out of our hands.
#[derive(Default)]
pub(crate) struct Released {
    /// References that leave the inventory.
    pub(crate) dropped: Vec<ResourceReference>,
    /// One text for each object that still carries our marks.
    pub(crate) failed: Vec<String>,
}

impl Reconciler {
    /// Before an object is deleted: whether it is left to the garbage collector instead, since it says so, and its marks are
    /// off. What an inventory says of it is older, or nothing at all where its creation was not finished.
    ///
    /// # Errors
    /// The server refuses, or no answer comes in time.
    pub(crate) async fn is_left_to_collector(
        &self,
        mr: &ManagedResource,
        reference: &ResourceReference,
    ) -> Result<bool, RemovalError> {
        if !self.garbage_collector || !collectable::is_collected_kind(reference) {
            return Ok(false);
        }
        let Some((plural, gvk)) = self.locate(reference, false).await? else { return Ok(false) };
        let api = partial_object::api(&self.target, &gvk, &plural, &reference.namespace);
        let live = client::look(&self.gate, &api, &reference.name).await?;
        let labels = live.and_then(|live| live.labels).unwrap_or_default();
        if !collectable::is_labelled(labels.get(names::LABEL_COLLECTABLE).map(String::as_str)) {
            return Ok(false);
        }
        if self.release_one(mr, reference, Heir::GarbageCollector).await? {
            let (reason, what) = Heir::GarbageCollector.news();
            self.events.publish(mr, reason, &format!("{what}: {}", reference.object_key()));
        }
        Ok(true)
    }

    /// Takes our marks off, object by object.
    pub(crate) async fn release(
        &self,
        mr: &ManagedResource,
        references: impl Iterator<Item = &ResourceReference>,
        heir: Heir,
    ) -> Released {
        let mut released = Released::default();
        let mut names = Vec::new();
        let jobs: Vec<_> = references
            .map(|reference| async move {
                let resource = resource_of(reference);
                let done = self.in_turn(&resource, RemovalError::call, || self.release_one(mr, reference, heir));
                (reference, Box::pin(done).await)
            })
            .collect();
        let mut results = std::pin::pin!(stream::iter(jobs).buffer_unordered(self.width));
        while let Some((reference, result)) = results.next().await {
            let object = reference.object_key();
            match result {
                Ok(is_ours) => {
                    if is_ours {
                        names.push(object.to_string());
                    }
                    self.world.forget(&object);
                    released.dropped.push(reference.clone());
                }
                Err(error) => released.failed.push(format!("{object}: {}", error.words(&object))),
            }
        }
        released.failed.sort_unstable();
        if !names.is_empty() {
            names.sort_unstable();
            let objects = names.join(", ");
            tracing::info!(managed_resource = %mr.key(), objects, "released");
            let (reason, what) = heir.news();
            self.events.publish(mr, reason, &format!("{what}: {objects}"));
        }
        released
    }

    /// Whether it was ours.
    async fn release_one(
        &self,
        mr: &ManagedResource,
        reference: &ResourceReference,
        heir: Heir,
    ) -> Result<bool, RemovalError> {
        // That its label goes is no news.
        let object = reference.object_key();
        let _writing = self.world.writing(&object);
        let mut is_news = false;
        loop {
            let Some((plural, gvk)) = self.locate(reference, is_news).await? else { return Ok(false) };
            let api = partial_object::api(&self.target, &gvk, &plural, &reference.namespace);
            match self.take_off_marks(mr, &api, &reference.name, heir).await {
                // What is known of kinds may be old.
                Err(error) if error.is_not_served() && !is_news => is_news = true,
                result => return result,
            }
        }
    }

    async fn take_off_marks(
        &self,
        mr: &ManagedResource,
        api: &Api<Metadata>,
        name: &str,
        heir: Heir,
    ) -> Result<bool, RemovalError> {
        let mut tries = 0;
        loop {
            let Some(live) = client::look(&self.gate, api, name).await? else { return Ok(false) };
            let live = json!({ "metadata": live });
            let Some(patch) = heir.patch(&live, &mr.key(), &self.marks.cluster_id) else { return Ok(false) };
            match client::patch_json(&self.gate, "take off marks", api, name, &client::params(), patch).await {
                Ok(_) => return Ok(true),
                Err(ApplyError::Call(error)) if error.is_conflict() && tries < TRIES => tries += 1,
                Err(ApplyError::Call(error)) if error.is_not_found() && !error.is_not_served() => return Ok(true),
                Err(ApplyError::Call(error)) => return Err(error.into()),
                Err(other) => return Err(RemovalError::Unclear(other.to_string())),
            }
        }
    }
}
