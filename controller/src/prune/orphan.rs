//! Taking our marks off objects without deleting them: they belong to others then, or to a garbage collector.

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    deletion::orphan,
    inventory::collectable,
    key::{NamespacedName, ObjectKey},
    names,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::{Pruner, delete::RemovalError, locate::Freshness};
use crate::{
    status::events::Reason,
    target::{
        client::{Endpoint, JsonPatch, resource_of},
        error::ApplyError,
    },
};

/// How often an object is looked at in one go. More than once only if somebody writes at the same moment.
const TRIES: usize = 5;

/// To whom objects go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipient {
    /// Anybody: their manifests say so.
    Anybody,
    /// The cluster: they are Namespaces that every cluster has.
    Cluster,
    /// They are deleted when nothing refers to them.
    GarbageCollector,
}

impl Recipient {
    /// The JSON patch that takes our marks off a live object; `None` if there is nothing to be done.
    fn patch(self, live: &Value, mr: &NamespacedName, cluster_id: &str) -> Option<Value> {
        match self {
            Self::Anybody | Self::Cluster => orphan::patch(live, mr, cluster_id),
            Self::GarbageCollector => orphan::patch_collectable(live, mr, cluster_id),
        }
    }

    /// What the owner of the ManagedResource is told.
    fn event(self) -> (Reason, &'static str) {
        match self {
            Self::Anybody => (Reason::Released, "Left to others, because their manifests say so"),
            Self::Cluster => (Reason::Spared, "Not deleted but left to others, because every cluster has them"),
            Self::GarbageCollector => {
                (Reason::Kept, "Left to the garbage collector, which deletes them when nothing refers to them")
            }
        }
    }
}

/// What became of the objects that were to be orphaned.
#[derive(Default)]
pub(crate) struct Orphaned {
    /// References that leave the inventory.
    pub(crate) dropped: Vec<ResourceReference>,
    /// One text for each object that still carries our marks.
    pub(crate) failed: Vec<String>,
}

/// What became of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OrphanResult {
    /// There is none.
    Absent,
    /// It does not go to this recipient.
    Refused,
    /// It carried nothing of ours.
    NotOurs,
    /// Our marks are off.
    Orphaned,
}

impl Pruner {
    /// Before an object is deleted: whether it is left to the garbage collector instead, since it says so, and its marks are
    /// off. What an inventory says of it is older, or nothing at all where its creation was not finished.
    ///
    /// # Errors
    /// The server refuses, or no answer comes in time.
    pub(super) async fn hand_to_collector(
        &self,
        mr: &ManagedResource,
        reference: &ResourceReference,
    ) -> Result<bool, RemovalError> {
        if !self.settings.garbage_collector || !collectable::is_collected_kind(reference) {
            return Ok(false);
        }
        let recipient = Recipient::GarbageCollector;
        let result = self.orphan_where_served(mr, reference, recipient, is_collectable).await?;
        if result == OrphanResult::Orphaned {
            let (reason, what) = recipient.event();
            self.events.publish(mr, reason, &format!("{what}: {}", reference.object_key()));
        }
        Ok(matches!(result, OrphanResult::Orphaned | OrphanResult::NotOurs))
    }

    /// Takes our marks off, object by object.
    pub(crate) async fn orphan(
        &self,
        mr: &ManagedResource,
        references: impl Iterator<Item = &ResourceReference>,
        recipient: Recipient,
    ) -> Orphaned {
        let mut orphaned = Orphaned::default();
        let mut names = Vec::new();
        let jobs: Vec<_> = references
            .map(|reference| async move {
                let (resource, orphan) = (resource_of(reference), || self.orphan_one(mr, reference, recipient));
                let done = self.target.requests.with_slot(&resource, orphan);
                (reference, Box::pin(done).await)
            })
            .collect();
        let mut results = std::pin::pin!(stream::iter(jobs).buffer_unordered(self.target.width));
        while let Some((reference, result)) = results.next().await {
            let object = reference.object_key();
            match result {
                Ok(result) => {
                    if result == OrphanResult::Orphaned {
                        names.push(object.to_string());
                    }
                    self.state.forget_object(&object);
                    orphaned.dropped.push(reference.clone());
                }
                Err(error) => orphaned.failed.push(format!("{object}: {}", error.words(&object))),
            }
        }
        orphaned.failed.sort_unstable();
        if !names.is_empty() {
            names.sort_unstable();
            let objects = names.join(", ");
            tracing::info!(managed_resource = %mr.key(), objects, "orphaned objects");
            let (reason, what) = recipient.event();
            self.events.publish(mr, reason, &format!("{what}: {objects}"));
        }
        orphaned
    }

    async fn orphan_one(
        &self,
        mr: &ManagedResource,
        reference: &ResourceReference,
        recipient: Recipient,
    ) -> Result<OrphanResult, RemovalError> {
        // That its label goes is no news.
        let object = reference.object_key();
        let _writing = self.state.objects.begin_write(&object);
        self.orphan_where_served(mr, reference, recipient, |_| true).await
    }

    /// `is_meant` says by the live object whether it goes to the recipient.
    async fn orphan_where_served(
        &self,
        mr: &ManagedResource,
        reference: &ResourceReference,
        recipient: Recipient,
        is_meant: impl Fn(&ObjectMeta) -> bool,
    ) -> Result<OrphanResult, RemovalError> {
        let object = reference.object_key();
        let mut freshness = Freshness::Cached;
        loop {
            let Some(endpoint) = self.locate(reference, freshness).await? else { return Ok(OrphanResult::Absent) };
            match self.remove_ownership_metadata(mr, &endpoint, &object, recipient, &is_meant).await {
                // What is known of kinds may be old.
                Err(error) if error.is_not_served() && freshness == Freshness::Cached => freshness = Freshness::Now,
                result => return result,
            }
        }
    }

    async fn remove_ownership_metadata(
        &self,
        mr: &ManagedResource,
        endpoint: &Endpoint,
        object: &ObjectKey,
        recipient: Recipient,
        is_meant: impl Fn(&ObjectMeta) -> bool,
    ) -> Result<OrphanResult, RemovalError> {
        let (client, mut tries) = (&self.target.client, 0);
        loop {
            let Some(live) = client.get(endpoint, object).await? else { return Ok(OrphanResult::Absent) };
            if !is_meant(&live) {
                return Ok(OrphanResult::Refused);
            }
            let live = json!({ "metadata": live });
            let Some(operations) = recipient.patch(&live, &mr.key(), &self.settings.cluster_id) else {
                return Ok(OrphanResult::NotOurs);
            };
            match client.patch_json(JsonPatch::new("take off marks", operations), endpoint, object).await {
                Ok(_) => return Ok(OrphanResult::Orphaned),
                Err(ApplyError::Call(error)) if error.is_conflict() && tries < TRIES => tries += 1,
                Err(ApplyError::Call(error)) if error.is_not_found() && !error.is_not_served() => {
                    return Ok(OrphanResult::Orphaned);
                }
                Err(ApplyError::Call(error)) => return Err(error.into()),
                Err(other) => return Err(RemovalError::Unclear(other.to_string())),
            }
        }
    }
}

/// Whether an object says that the garbage collector deletes it.
fn is_collectable(live: &ObjectMeta) -> bool {
    let label = live.labels.as_ref().and_then(|labels| labels.get(names::LABEL_COLLECTABLE));
    collectable::is_labelled(label.map(String::as_str))
}
