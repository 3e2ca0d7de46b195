//! Taking objects out of our hands without deleting them.

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    plan::Plan,
    release,
};
use serde_json::json;

use crate::{
    events::Reason,
    execute::{self, ApplyError},
    metadata,
    prune::{resource_of, served_as},
    reconcile::Reconciler,
};

/// How often an object is looked at in one go. More than once only if somebody writes at the same moment.
const TRIES: usize = 5;

/// What became of the objects that manifests take out of our hands.
#[derive(Default)]
pub(crate) struct Released {
    /// References that leave the inventory.
    pub(crate) dropped: Vec<ResourceReference>,
    /// One text for each object that still carries our marks.
    pub(crate) failed: Vec<String>,
}

impl Reconciler {
    /// Takes our marks off, object by object.
    pub(crate) async fn release(&self, mr: &ManagedResource, plan: &Plan) -> Released {
        let mut released = Released::default();
        let mut names = Vec::new();
        let jobs: Vec<_> = plan
            .released
            .iter()
            .map(|reference| async move {
                let resource = resource_of(reference);
                let done = self.in_turn(&resource, ApplyError::call, || self.release_one(mr, reference));
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
                Err(error) => released.failed.push(format!("{object}: {error}")),
            }
        }
        released.failed.sort_unstable();
        if !names.is_empty() {
            names.sort_unstable();
            let objects = names.join(", ");
            tracing::info!(managed_resource = %mr.key(), objects, "released");
            let note = format!("Left to others, because their manifests say so: {objects}");
            self.events.publish(mr, Reason::Released, &note);
        }
        released
    }

    /// Whether it was ours.
    async fn release_one(&self, mr: &ManagedResource, reference: &ResourceReference) -> Result<bool, ApplyError> {
        // That its label goes is no news.
        let object = reference.object_key();
        let _writing = self.world.writing(&object);
        let snapshot = self.discoverer.current().await?;
        // Without a kind there are no objects of it.
        let Some((plural, gvk)) = served_as(reference, &snapshot) else { return Ok(false) };
        let api = metadata::api(&self.target, &gvk, &plural, &reference.namespace);
        let mut tries = 0;
        loop {
            let Some(live) = execute::look(&self.gate, &api, &reference.name).await? else { return Ok(false) };
            let live = json!({ "metadata": live });
            let Some(patch) = release::patch(&live, &mr.key(), &self.marks.cluster_id) else { return Ok(false) };
            match execute::patch_json(&self.gate, "take off marks", &api, &reference.name, &execute::params(), patch)
                .await
            {
                Err(ApplyError::Call(error)) if error.is_conflict() && tries < TRIES => tries += 1,
                Err(ApplyError::Call(error)) if error.is_not_found() => return Ok(true),
                result => return result.map(|_| true),
            }
        }
    }
}
