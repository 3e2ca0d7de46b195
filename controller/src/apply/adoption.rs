//! Looking at objects before they are taken over for the first time, where `spec.adopt` asks for it.

mod answers;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{Adopt, ManagedResource, ResourceReference},
    field_ownership::adoption_policy,
    key::ObjectKey,
    manifest::Desired,
    position::Position,
};
use holdfast_runtime::call::CallError;
use serde_json::json;
use tokio::time::Instant;

use super::Applier;
use crate::{
    desired::{Declaration, failure_text},
    status::{
        events::Reason,
        result::{Failure, Failures},
    },
    target::{
        client::Endpoint,
        discovery::Snapshot,
        error,
        requests::{Afterwards, Job, Verb},
    },
};

use answers::Answer;
pub(super) use answers::Answers;

impl Applier {
    /// Objects that exist, are not ours and are not to be taken over, with the reason; and those of which the server does not say
    /// whether they exist.
    ///
    /// # Errors
    /// The server does not answer: then nobody knows, and nothing may be claimed.
    pub(crate) async fn adoption_refusals(self: &Arc<Self>, declared: Declaration<'_>) -> Result<Failures, CallError> {
        let Declaration { mr, set, served } = declared;
        let adopt = mr.spec.adopt.unwrap_or_default();
        if adopt == Adopt::Always {
            return Ok(BTreeMap::new());
        }
        let inventory: BTreeSet<_> = mr.inventory().iter().map(ResourceReference::object_key).collect();
        let is_declared = |object: &ObjectKey| set.position(object).is_some();
        self.answers.retain(&mr.key(), |object| is_declared(object) && !inventory.contains(object));
        let new = Position::enumerate(&set.objects).filter(|(_, object)| !inventory.contains(&object.key));
        let jobs: Vec<_> = new
            .map(|(position, object)| async move {
                (position, object, self.adoption_refusal(mr, adopt, object, served).await)
            })
            .collect();
        let mut results = std::pin::pin!(stream::iter(jobs).buffer_unordered(self.target.width));
        let mut refused = BTreeMap::new();
        let mut is_stale = false;
        while let Some((position, object, refusal)) = results.next().await {
            match refusal {
                Ok(None) => {}
                Ok(Some(why)) => {
                    self.events.publish(mr, Reason::Conflict, &format!("{} is not taken over: {why}", object.key));
                    let failure = Failure { text: failure_text(object, &why), is_brief: false };
                    refused.insert(position, failure);
                }
                // Of this one nobody knows. The others need not wait for it.
                Err(error) if error.deferred().is_some() || error.is_refusal() => {
                    is_stale |= error.is_not_served();
                    let is_brief = error.deferred().is_some_and(|deferred| deferred.is_brief);
                    let why = error::words(&error, &object.key);
                    refused.insert(position, Failure { text: failure_text(object, &why), is_brief });
                }
                Err(error) => return Err(error),
            }
        }
        self.target.refresh_if(is_stale).await;
        Ok(refused)
    }

    async fn adoption_refusal(
        self: &Arc<Self>,
        mr: &ManagedResource,
        adopt: Adopt,
        object: &Desired,
        served: &Snapshot,
    ) -> Result<Option<String>, CallError> {
        let Some(info) = served.kinds.get(&object.gvk) else { return Ok(None) };
        let (mr, key) = (mr.key(), object.key.clone());
        let earlier = self.answers.of(&mr, &key, adopt);
        if let Some(answer) = earlier.as_ref().filter(|answer| answer.is_recent(Instant::now())) {
            return Ok(answer.refusal.clone());
        }
        let endpoint = Endpoint::new(&object.gvk, info);
        let job = Job { mr: mr.clone(), object: key.clone(), resource: endpoint.resource(), verb: Verb::Get };
        let work = {
            let (this, mr, key) = (Arc::clone(self), mr.clone(), key.clone());
            async move {
                let get = || this.target.client.get(&endpoint, &key);
                let live = Box::pin(this.target.requests.with_slot(&endpoint.resource(), get)).await?;
                let live = live.map(|live| json!({ "metadata": live }));
                Ok(live.and_then(|live| adoption_policy::refusal(adopt, &live, &mr, &this.cluster_id)))
            }
        };
        let late = {
            let (this, mr, key) = (Arc::clone(self), mr.clone(), key.clone());
            move |refusal: Result<_, CallError>| {
                let afterwards = Afterwards::of(refusal.as_ref().err());
                // The next pass would ask the same again, and not wait for the answer either.
                if let Some(refusal) = refusal.ok().filter(|_| this.state.managed_resources.get(&mr).is_some()) {
                    this.answers.keep(&mr, key, Answer { at: Instant::now(), adopt, refusal });
                }
                afterwards
            }
        };
        let error = match self.target.requests.run(job, Box::pin(work), late).await {
            Ok(refusal) => {
                self.answers.drop_one(&mr, &key);
                return Ok(refusal);
            }
            Err(error) => error,
        };
        match earlier.and_then(|answer| answer.refusal).filter(|_| error.deferred().is_some()) {
            // It was not ours when it was last seen, and nothing is known since.
            Some(why) => Ok(Some(why)),
            None => Err(error),
        }
    }
}
