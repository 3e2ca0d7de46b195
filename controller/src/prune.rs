//! Deleting what is not declared any more.
//!
//! [`delete`] deletes one object, [`teardown`] many in their order; [`orphan`] lets objects go without deleting them;
//! [`refusals`] says when a deletion that was refused is tried again.

pub(crate) mod delete;
pub(crate) mod orphan;
pub(crate) mod refusals;
pub(crate) mod teardown;

use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    deletion::Deletions,
    field_ownership::adoption_policy,
    inventory::plan::Plan,
    key::{Gvk, NamespacedName},
    manifest::discovery::Place,
    object_name,
};
use holdfast_runtime::{api::Api, traffic::Resource};
use kube::api::ListParams;
use tokio::time::Instant;

use crate::{
    reconcile::Reconciler,
    status::{events::Reason, result::Pruned},
    target::{
        partial_object::{self, Metadata},
        slots::{is_answer, unanswered},
    },
};
use delete::{Candidate, Removal, RemovalError};
use teardown::TornDown;

impl Reconciler {
    /// Deletes what is not declared any more, in the order that it needs.
    pub(crate) async fn prune(&self, mr: &ManagedResource, plan: &Plan) -> Pruned {
        let mut pruned = Pruned { dropped: plan.handed_over.clone(), ..Pruned::default() };
        let key = mr.key();
        let is_paused = |reference: &ResourceReference| self.world.is_paused(&key, &reference.object_key());
        // Those that were paused since the plan was made stay where they are.
        let due = plan.prune.iter().filter(|reference| !is_paused(reference));
        let TornDown { finished, pending, retry, .. } = {
            let deletions = Deletions::pruned(due, |object| self.world.is_finalized(object));
            self.tear_down(mr, deletions).await
        };
        (pruned.pending, pruned.retry) = (pending, retry);
        let mut deleted = Vec::new();
        for (reference, removal) in finished {
            if matches!(removal, Removal::Deleted | Removal::Finalized) {
                deleted.push(reference.object_key().to_string());
            }
            if removal != Removal::LeftToAnother {
                self.world.forget(&reference.object_key());
            }
            pruned.dropped.push(reference);
        }
        deleted.sort_unstable();
        pruned.deleted = deleted.len();
        if !deleted.is_empty() {
            tracing::info!(managed_resource = %mr.key(), objects = deleted.join(", "), "pruned");
            self.events.publish(
                mr,
                Reason::Pruned,
                &format!("Deleted because it is not declared any more: {}", deleted.join(", ")),
            );
        }
        pruned
    }

    /// Deletes one object of the inventory. What was refused is not tried again before it is time.
    pub(crate) async fn remove(
        &self,
        mr: &ManagedResource,
        reference: &ResourceReference,
    ) -> Result<Removal, RemovalError> {
        let object = reference.object_key();
        if self.world.is_wanted_by_another(&object, &mr.key()) {
            // Perhaps since this pass began.
            return Ok(Removal::LeftToAnother);
        }
        if let Some((words, progress)) = self.retries.too_early(&object, Instant::now()) {
            return Err(RemovalError::TooEarly { words, progress });
        }
        // That it goes is no news.
        let writing = self.world.writing(&object);
        let removal = self.try_to_remove(mr, reference).await;
        drop(writing);
        match &removal {
            Err(error) if error.is_refusal() => {
                self.retries.refused(&object, error.to_string(), error.progress(), Instant::now());
            }
            _ => self.retries.forget(&object),
        }
        let removal = removal?;
        if matches!(removal, Removal::Deleted | Removal::Finalized) {
            self.metrics.prunes.inc();
        }
        let news = match removal {
            Removal::NotOurs => {
                Some((Reason::NotOurs, "is not deleted: it carries nothing of ours, somebody else created it"))
            }
            Removal::Kept => Some((Reason::Kept, "is not deleted: its annotation keep-object says so")),
            Removal::Finalized => {
                Some((Reason::Finalized, "was held by finalizers for longer than it may; they were removed"))
            }
            _ => None,
        };
        if let Some((reason, what)) = news {
            self.events.publish(mr, reason, &format!("{object} {what}"));
        }
        Ok(removal)
    }

    async fn try_to_remove(
        &self,
        mr: &ManagedResource,
        reference: &ResourceReference,
    ) -> Result<Removal, RemovalError> {
        if self.is_left_to_collector(mr, reference).await? {
            return Ok(Removal::LeftToCollector);
        }
        let with_claims = mr.spec.delete_persistent_volume_claims.unwrap_or_default();
        let origin = adoption_policy::origin(&self.marks.cluster_id, &mr.key());
        let mut is_news = false;
        loop {
            let Some((plural, gvk)) = self.locate(reference, is_news).await? else { return Ok(Removal::Gone) };
            let served = (plural.clone(), gvk.clone());
            match self.remove_patiently(&mr.key(), reference, served, &origin, with_claims).await {
                // What is known of kinds may be old.
                Err(error) if error.is_not_served() && !is_news => is_news = true,
                // Not every server names the object that it does not have.
                Err(error) if error.is_not_served() && self.is_kind_served(reference, &gvk, &plural).await => {
                    tracing::debug!(object = %reference.object_key(), %error, "there is no such object where its kind is served");
                    return Ok(Removal::Gone);
                }
                result => return result,
            }
        }
    }

    /// Whether the server lists objects of a kind, so that one that it does not find is not there.
    async fn is_kind_served(&self, reference: &ResourceReference, gvk: &Gvk, plural: &str) -> bool {
        let api: Api<Metadata> = partial_object::api(&self.target, gvk, plural, &reference.namespace);
        let one = ListParams { limit: Some(1), ..ListParams::default() };
        self.gate.call("list", api.list(&one)).await.is_ok()
    }

    /// One attempt. Waits no longer than the resource deserves.
    async fn remove_patiently(
        &self,
        mr: &NamespacedName,
        reference: &ResourceReference,
        served: (String, Gvk),
        origin: &str,
        with_claims: bool,
    ) -> Result<Removal, RemovalError> {
        let Some(this) = self.this.upgrade() else {
            return Ok(Removal::Pending { by_others: false });
        };
        let (object, resource) = (reference.object_key(), Resource::new(&served.1.group, &served.0));
        let (reference, origin, asked) = (reference.clone(), origin.to_owned(), resource.clone());
        let work = async move {
            let (object, (plural, gvk)) = (reference.object_key(), served);
            let (gate, client) = (&this.gate, &this.target);
            let (plural, gvk, reference, origin) = (&*plural, &gvk, &reference, &*origin);
            let candidate = Candidate { gate, client, plural, gvk, reference, origin, with_claims };
            let attempt = || async { candidate.remove(this.world.latest(&object).as_ref()).await };
            Box::pin(this.in_turn(&asked, RemovalError::call, attempt)).await
        };
        // The next pass sees what has become of it.
        let late =
            |_: &Self, removed: Result<_, RemovalError>| is_answer(removed.as_ref().err().and_then(RemovalError::call));
        let removed = self.patiently(mr, &object, &resource, Box::pin(work), late).await;
        let removed = removed.unwrap_or_else(|hold| Err(unanswered("delete", hold).into()));
        if removed.is_err() {
            self.waits_for(mr, &resource);
        }
        removed
    }

    /// Plural and version in which the kind of an object is served; the version of the inventory may not be any more, and the
    /// object is the same in the one that is. `None` if the object cannot exist. With `is_news`, the server is asked again.
    ///
    /// # Errors
    /// Nobody serves its kind, and it is not known whether it exists.
    pub(crate) async fn locate(
        &self,
        reference: &ResourceReference,
        is_news: bool,
    ) -> Result<Option<(String, Gvk)>, RemovalError> {
        if !object_name::is_possible(&reference.object_key()) {
            // There never was one of this name, though an older version may have noted it.
            return Ok(None);
        }
        let wanted = reference.gvk();
        if !is_news {
            let snapshot = self.discoverer.current().await?;
            if let Place::At(gvk, info) = snapshot.kinds.look_up(&wanted, &reference.namespace) {
                return Ok(Some((info.plural.clone(), gvk)));
            }
        }
        // That something does not exist is only said of what is served now, or was half a second ago.
        let snapshot = self.discoverer.refresh().await?;
        match snapshot.kinds.look_up(&wanted, &reference.namespace) {
            Place::At(gvk, info) => Ok(Some((info.plural.clone(), gvk))),
            Place::Nowhere => Ok(None),
            Place::Unknown => {
                let absence = self.discoverer.absence(&wanted.group_kind()).await;
                absence.map(|()| None).map_err(RemovalError::Unserved)
            }
        }
    }
}

/// What requests for an object are about.
pub(crate) fn resource_of(reference: &ResourceReference) -> Resource {
    Resource::new(reference.gvk().group, reference.resource.as_deref().unwrap_or_default())
}
