//! Looking at objects before they are taken over for the first time, where `spec.adopt` asks for it.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{Adopt, ManagedResource},
    contact,
    manifest::Desired,
};
use holdfast_runtime::call::CallError;
use serde_json::json;

use crate::{
    apply::failure_text, discover::Snapshot, events::Reason, execute, load::Loaded, metadata, reconcile::Reconciler,
};

impl Reconciler {
    /// Positions of objects that exist, are not ours and are not to be taken over, with the reason.
    ///
    /// # Errors
    /// The server does not answer, or refuses: then nobody knows, and nothing may be claimed.
    pub(crate) async fn first_contact(
        &self,
        mr: &ManagedResource,
        loaded: &Loaded,
        snapshot: &Snapshot,
    ) -> Result<BTreeMap<usize, String>, CallError> {
        let adopt = mr.spec.adopt.unwrap_or_default();
        if adopt == Adopt::Always {
            return Ok(BTreeMap::new());
        }
        let held: std::collections::BTreeSet<_> =
            mr.inventory().iter().map(holdfast_core::api::ResourceReference::object_key).collect();
        let new = loaded.desired.iter().enumerate().filter(|(_, object)| !held.contains(&object.key));
        let jobs: Vec<_> = new
            .map(|(position, object)| async move {
                Ok((position, object, self.refusal(mr, adopt, object, snapshot).await?))
            })
            .collect();
        let mut results = std::pin::pin!(stream::iter(jobs).buffer_unordered(self.width));
        let mut refused = BTreeMap::new();
        while let Some(result) = results.next().await {
            let (position, object, refusal) = result?;
            if let Some(why) = refusal {
                self.events.publish(mr, Reason::Conflict, &format!("{} is not taken over: {why}", object.key));
                refused.insert(position, failure_text(object, &why));
            }
        }
        Ok(refused)
    }

    async fn refusal(
        &self,
        mr: &ManagedResource,
        adopt: Adopt,
        object: &Desired,
        snapshot: &Snapshot,
    ) -> Result<Option<String>, CallError> {
        let Some(info) = snapshot.kinds.get(&object.gvk) else { return Ok(None) };
        let _permit = self.requests.acquire().await;
        let api = metadata::api(&self.target, &object.gvk, &info.plural, object.key.namespace());
        let live = execute::look(&self.gate, &api, object.key.name()).await?.map(|live| json!({ "metadata": live }));
        Ok(live.and_then(|live| contact::refusal(adopt, &live, &mr.key(), &self.marks.cluster_id)))
    }
}
