//! One attempt to delete an object of an inventory.

use std::sync::Arc;

use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    field_ownership::adoption_policy,
    key::NamespacedName,
};
use holdfast_runtime::{api::Api, call::CallError};
use kube::api::ListParams;
use tokio::time::Instant;

use super::{
    Pruner,
    delete::{Candidate, Removal, RemovalError},
    locate::Freshness,
};
use crate::{
    status::events::Reason,
    target::{
        client::Endpoint,
        partial_object::PartialObject,
        requests::{Afterwards, FromCall, Job, Verb},
    },
};

impl FromCall for RemovalError {
    fn as_call(&self) -> Option<&CallError> {
        self.call()
    }
}

impl Pruner {
    /// Deletes one object of the inventory. What was refused is not tried again before it is time.
    pub(super) async fn remove(
        self: &Arc<Self>,
        mr: &ManagedResource,
        reference: &ResourceReference,
    ) -> Result<Removal, RemovalError> {
        let object = reference.object_key();
        if self.state.managed_resources.is_desired_by_another(&object, &mr.key()) {
            // Perhaps since this pass began.
            return Ok(Removal::OwnedByAnother);
        }
        if let Some(refusal) = self.refusals.in_force(&object, Instant::now()) {
            return Err(RemovalError::TooEarly(refusal));
        }
        // That it goes is no news.
        let writing = self.state.objects.begin_write(&object);
        let removal = self.try_to_remove(mr, reference).await;
        drop(writing);
        match &removal {
            Err(error) if error.is_refusal() => {
                self.refusals.add(&object, error.to_string(), error.progress(), Instant::now());
            }
            _ => self.refusals.forget(&object),
        }
        let removal = removal?;
        if matches!(removal, Removal::Deleted | Removal::Finalized) {
            self.metrics.prunes.inc();
        }
        let event = match removal {
            Removal::NotOurs => {
                Some((Reason::NotOurs, "is not deleted: it carries nothing of ours, somebody else created it"))
            }
            Removal::Retained => Some((Reason::Kept, "is not deleted: its annotation keep-object says so")),
            Removal::Finalized => {
                Some((Reason::Finalized, "was held by finalizers for longer than it may; they were removed"))
            }
            _ => None,
        };
        if let Some((reason, what)) = event {
            self.events.publish(mr, reason, &format!("{object} {what}"));
        }
        Ok(removal)
    }

    async fn try_to_remove(
        self: &Arc<Self>,
        mr: &ManagedResource,
        reference: &ResourceReference,
    ) -> Result<Removal, RemovalError> {
        if self.hand_to_collector(mr, reference).await? {
            return Ok(Removal::Collectable);
        }
        let with_claims = mr.spec.delete_persistent_volume_claims.unwrap_or_default();
        let origin = adoption_policy::origin(&self.settings.cluster_id, &mr.key());
        let mut freshness = Freshness::Cached;
        loop {
            let Some(endpoint) = self.locate(reference, freshness).await? else { return Ok(Removal::Gone) };
            match self.remove_at(&mr.key(), reference, &endpoint, &origin, with_claims).await {
                // What is known of kinds may be old.
                Err(error) if error.is_not_served() && freshness == Freshness::Cached => freshness = Freshness::Now,
                // Not every server names the object that it does not have.
                Err(error) if error.is_not_served() && self.is_kind_served(reference, &endpoint).await => {
                    tracing::debug!(object = %reference.object_key(), %error, "there is no such object where its kind is served");
                    return Ok(Removal::Gone);
                }
                result => return result,
            }
        }
    }

    /// Whether the server lists objects of a kind, so that one that it does not find is not there.
    async fn is_kind_served(&self, reference: &ResourceReference, endpoint: &Endpoint) -> bool {
        let api: Api<PartialObject> = self.target.client.api(endpoint, &reference.namespace);
        let one = ListParams { limit: Some(1), ..ListParams::default() };
        self.target.client.gate().call("list", api.list(&one)).await.is_ok()
    }

    /// Waits no longer than the resource deserves.
    async fn remove_at(
        self: &Arc<Self>,
        mr: &NamespacedName,
        reference: &ResourceReference,
        endpoint: &Endpoint,
        origin: &str,
        with_claims: bool,
    ) -> Result<Removal, RemovalError> {
        let (object, resource) = (reference.object_key(), endpoint.resource());
        let job = Job { mr: mr.clone(), object, resource, verb: Verb::Delete };
        let (this, reference, endpoint, origin) =
            (Arc::clone(self), reference.clone(), endpoint.clone(), origin.to_owned());
        let work = async move {
            let (client, object) = (&this.target.client, reference.object_key());
            let candidate = Candidate { client, endpoint: &endpoint, object: &object, origin: &origin, with_claims };
            let attempt = || async { candidate.remove(this.state.objects.latest(&object).as_ref()).await };
            Box::pin(this.target.requests.with_slot(&endpoint.resource(), attempt)).await
        };
        // The next pass sees what has become of it.
        let late =
            |removed: Result<_, RemovalError>| Afterwards::of(removed.as_ref().err().and_then(RemovalError::call));
        self.target.requests.run(job, Box::pin(work), late).await
    }
}
