//! Looking at objects before they are taken over for the first time, where `spec.adopt` asks for it.

mod answers;

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{Adopt, ManagedResource},
    field_ownership::adoption_policy,
    key::ObjectKey,
    manifest::Desired,
};
use holdfast_runtime::{call::CallError, traffic::Resource};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    desired::{Loaded, failure_text},
    reconcile::Reconciler,
    status::{
        events::Reason,
        result::{Failure, Failures},
    },
    target::{
        client,
        discovery::Snapshot,
        partial_object,
        slots::{is_answer, unanswered},
    },
};

use answers::Look;
pub(crate) use answers::Looks;

impl Reconciler {
    /// Positions of objects that exist, are not ours and are not to be taken over, with the reason; and of those of which the
    /// server does not say whether they exist.
    ///
    /// # Errors
    /// The server does not answer: then nobody knows, and nothing may be claimed.
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
        let is_declared =
            |object: &ObjectKey| loaded.desired.binary_search_by(|desired| desired.key.cmp(object)).is_ok();
        self.looks.retain(&mr.key(), |object| is_declared(object) && !held.contains(object));
        let new = loaded.desired.iter().enumerate().filter(|(_, object)| !held.contains(&object.key));
        let jobs: Vec<_> = new
            .map(
                |(position, object)| async move { (position, object, self.refusal(mr, adopt, object, snapshot).await) },
            )
            .collect();
        let mut results = std::pin::pin!(stream::iter(jobs).buffer_unordered(self.width));
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
                Err(error) if error.on_hold().is_some() || error.is_refusal() => {
                    is_stale |= error.is_not_served();
                    let is_brief = error.on_hold().is_some_and(|hold| hold.is_brief);
                    let why = client::words(&error, &object.key);
                    refused.insert(position, Failure { text: failure_text(object, &why), is_brief });
                }
                Err(error) => return Err(error),
            }
        }
        if is_stale && let Err(error) = self.discoverer.refresh().await {
            tracing::warn!(%error, "cannot tell what is served");
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
        let (mr, key) = (mr.key(), object.key.clone());
        let known = self.looks.of(&mr, &key, adopt);
        if let Some(look) = known.as_ref().filter(|look| look.is_recent(Instant::now())) {
            return Ok(look.refusal.clone());
        }
        let resource = Resource::new(&object.gvk.group, &info.plural);
        let api = partial_object::api(&self.target, &object.gvk, &info.plural, object.key.namespace());
        let (name, asked, owner) = (object.key.name().to_owned(), resource.clone(), mr.clone());
        let work = async move {
            let look = || client::look(&this.gate, &api, &name);
            let live = Box::pin(this.in_turn(&asked, |error| Some(error), look)).await?;
            let live = live.map(|live| json!({ "metadata": live }));
            let cluster = &this.marks.cluster_id;
            Ok(live.and_then(|live| adoption_policy::refusal(adopt, &live, &owner, cluster)))
        };
        let late = {
            let (mr, key) = (mr.clone(), key.clone());
            move |this: &Self, refusal: Result<_, CallError>| {
                let is_news = is_answer(refusal.as_ref().err());
                // The next pass would ask the same again, and not wait for the answer either.
                if let Some(refusal) = refusal.ok().filter(|_| this.world.mr(&mr).is_some()) {
                    this.looks.keep(&mr, key, Look { at: Instant::now(), adopt, refusal });
                }
                is_news
            }
        };
        let answer = self.patiently(&mr, &key, &resource, Box::pin(work), late).await;
        let error = match answer.unwrap_or_else(|hold| Err(unanswered("get", hold))) {
            Ok(refusal) => {
                self.looks.drop_one(&mr, &key);
                return Ok(refusal);
            }
            Err(error) => error,
        };
        self.waits_for(&mr, &resource);
        match known.and_then(|look| look.refusal).filter(|_| error.on_hold().is_some()) {
            // It was not ours when it was last seen, and nothing is known since.
            Some(why) => Ok(Some(why)),
            None => Err(error),
        }
    }
}
