//! Looking at objects before they are taken over for the first time, where `spec.adopt` asks for it.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{Adopt, ManagedResource},
    contact,
    manifest::Desired,
};
use holdfast_runtime::{call::CallError, traffic::Resource};
use serde_json::json;

use crate::{
    apply::{Failure, Failures, failure_text},
    background::{is_answer, unanswered},
    discover::Snapshot,
    events::Reason,
    execute,
    load::Loaded,
    metadata,
    reconcile::Reconciler,
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
    ) -> Result<Failures, CallError> {
        let adopt = mr.spec.adopt.unwrap_or_default();
        if adopt == Adopt::Always {
            return Ok(BTreeMap::new());
        }
        let held: std::collections::BTreeSet<_> =
            mr.inventory().iter().map(holdfast_core::api::ResourceReference::object_key).collect();
        let new = loaded.desired.iter().enumerate().filter(|(_, object)| !held.contains(&object.key));
        let jobs: Vec<_> = new
            .map(
                |(position, object)| async move { (position, object, self.refusal(mr, adopt, object, snapshot).await) },
            )
            .collect();
        let mut results = std::pin::pin!(stream::iter(jobs).buffer_unordered(self.width));
        let mut refused = BTreeMap::new();
        while let Some((position, object, refusal)) = results.next().await {
            match refusal {
                Ok(None) => {}
                Ok(Some(why)) => {
                    self.events.publish(mr, Reason::Conflict, &format!("{} is not taken over: {why}", object.key));
                    let failure = Failure { text: failure_text(object, &why), is_brief: false };
                    refused.insert(position, failure);
                }
                // Of this one nobody knows. The others need not wait for it.
                Err(error) if error.on_hold().is_some() => {
                    let is_brief = error.on_hold().is_some_and(|hold| hold.is_brief);
                    let failure = Failure { text: failure_text(object, &error.to_string()), is_brief };
                    refused.insert(position, failure);
                }
                Err(error) => return Err(error),
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
        let Some(this) = self.this.upgrade() else { return Ok(None) };
        let resource = Resource::new(&object.gvk.group, &info.plural);
        let api = metadata::api(&self.target, &object.gvk, &info.plural, object.key.namespace());
        let (name, asked, owner) = (object.key.name().to_owned(), resource.clone(), mr.key());
        let work = async move {
            let look = || execute::look(&this.gate, &api, &name);
            Box::pin(this.in_turn(&asked, |error| Some(error), look)).await
        };
        let late = |_: &Self, live: Result<_, CallError>| is_answer(live.as_ref().err());
        let live = self.patiently(&owner, &object.key, &resource, Box::pin(work), late).await;
        let live = live.unwrap_or_else(|hold| Err(unanswered("get", hold)));
        if live.is_err() {
            self.waits_for(&owner, &resource);
        }
        let live = live?.map(|live| json!({ "metadata": live }));
        Ok(live.and_then(|live| contact::refusal(adopt, &live, &mr.key(), &self.marks.cluster_id)))
    }
}
