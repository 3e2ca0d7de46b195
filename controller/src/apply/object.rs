//! Making one object equal to its manifest.

use std::sync::Arc;

use holdfast_core::{
    field_ownership::{ManagedScope, adoption_policy},
    inventory::drift::{Observed, State},
    manifest::body::Opened,
    position::Position,
};

use super::{
    Applier,
    context::{ApplyContext, ObjectOutcome},
    kinds::manageable,
    recreate::Recreated,
};
use crate::{
    desired::Declaration,
    target::{
        client::Endpoint,
        error::ApplyError,
        payload::ApplyPayload,
        requests::{FromCall, Job, Verb},
    },
};
use holdfast_runtime::call::CallError;

/// How often external fields are adopted in one go. More than once only if somebody writes at the same moment, or through
/// several versions.
const ADOPTIONS: usize = 10;

impl FromCall for ApplyError {
    fn as_call(&self) -> Option<&CallError> {
        self.call()
    }
}

impl Applier {
    /// [`Self::apply_object`] for the object at a position, with the position. Waits no longer than its resource deserves.
    pub(super) async fn apply_at(
        self: &Arc<Self>,
        declared: Declaration<'_>,
        scope: &ManagedScope,
        position: Position,
        is_fresh: bool,
    ) -> (Position, Result<ObjectOutcome, ApplyError>) {
        let mr = declared.mr.key();
        let Some(object) = position.of(&declared.set.objects) else { return (position, Ok(ObjectOutcome::default())) };
        if !self.state.managed_resources.may_write(&mr, &object.key) {
            return (position, Ok(ObjectOutcome::default()));
        }
        let endpoint = match manageable(&object.gvk, &declared.served.kinds) {
            Ok(info) => Endpoint::new(&object.gvk, info),
            Err(obstacle) => return (position, Err(obstacle)),
        };
        self.state.objects.set_write_due(&object.key);
        let job = Job { mr: mr.clone(), object: object.key.clone(), resource: endpoint.resource(), verb: Verb::Apply };
        let (this, owner, resource) = (Arc::clone(self), mr.clone(), endpoint.resource());
        let (snapshot, scope) = (declared.served.clone(), scope.of_object(&object.key));
        let (desired, digest) = (Arc::clone(object), declared.set.digest(position));
        let work = async move {
            let (body, object, digest_key) = (&Opened::new(&desired.body), &*desired, &this.digest_key);
            let (mr, snapshot, scope) = (&owner, &snapshot, &scope);
            let context = ApplyContext { mr, object, body, digest, snapshot, scope, is_fresh, digest_key };
            let applied = this.target.requests.with_slot(&resource, || async {
                // The pass that began this may be over for long, and each attempt begins later.
                if !this.state.managed_resources.may_write(&owner, &object.key) {
                    return Ok(ObjectOutcome::default());
                }
                let _writing = this.state.objects.begin_write(&object.key);
                this.apply_object(context).await
            });
            Box::pin(applied).await
        };
        let (this, desired) = (Arc::clone(self), Arc::clone(object));
        let late = move |result| this.finish_late(&mr, &desired, result);
        (position, self.target.requests.run(job, Box::pin(work), late).await)
    }

    /// Does for one object what its manifest asks for.
    async fn apply_object(&self, context: ApplyContext<'_>) -> Result<ObjectOutcome, ApplyError> {
        self.state.objects.set_preserve(context.object);
        if !context.object.management_mode.is_managed() {
            return self.create_if_absent(context).await;
        }
        match self.make_equal(context).await {
            Err(error) if error.is_invalid() => {
                let Recreated { words } = self.delete_to_recreate(context, error).await?;
                let outcome = self.make_equal(context).await?;
                Ok(ObjectOutcome { plain: outcome.plain, recreated: Some(words), ..ObjectOutcome::default() })
            }
            result => result,
        }
    }

    /// Applies one object and removes what others added.
    async fn make_equal(&self, context: ApplyContext<'_>) -> Result<ObjectOutcome, ApplyError> {
        let ApplyContext { object, digest, .. } = context;
        let before = self.state.objects.state(&object.key, digest);
        // Before the request, because the watch may be quicker than the answer.
        let seen = self.state.objects.seen(&object.key);
        if object.heeds_autoscalers() && !self.knows_scaling(context)? {
            return Ok(ObjectOutcome::default());
        }
        if let Some(seen) = &seen {
            let external = context.external(&seen.managed_fields);
            // Changes of declared fields are taken back by the apply alone.
            if !external.is_empty() && !external.is_declared(context.body.value()) {
                self.adopt(context, seen).await?;
            }
        }
        let mut outcome = ObjectOutcome::default();
        let mut payload = self.payload(context, before, seen.as_ref()).await?;
        let mut observed = match self.apply_guarded(context, &mut payload).await {
            Err(error) if error.calls_for_merge_patch() => {
                let observed = self.write_plainly(context, before, &error, &mut outcome).await?;
                self.record(context, observed, before, seen.as_ref(), &mut outcome);
                return Ok(outcome);
            }
            result => result?,
        };
        self.state.objects.set_written_plainly(&object.key, false);
        if context.is_fresh {
            let managers = adoption_policy::managers(&observed.managed_fields);
            outcome.adopted = managers.into_iter().map(str::to_owned).collect();
        }
        let mut tries = 0;
        while self.take_over(context, &observed).await?.is_tried() {
            tries += 1;
            if tries > ADOPTIONS {
                return Err(ApplyError::Contended);
            }
            observed = self.apply_guarded(context, &mut payload).await?;
        }
        let observed = self.release_fields(context, observed).await?;
        self.record(context, observed, before, seen.as_ref(), &mut outcome);
        Ok(outcome)
    }

    /// Applies; guarded by the uid that was last seen, so that an object that was deleted meanwhile is created anew as a
    /// decision, and not by an update that comes too late.
    async fn apply_guarded<'a>(
        &self,
        context: ApplyContext<'a>,
        payload: &mut ApplyPayload<'a>,
    ) -> Result<Observed, ApplyError> {
        let (object, info) = (context.object, context.info()?);
        let metadata = match self.target.client.apply(info, object, payload).await {
            Err(error) if payload.uid.is_some() && error.is_uid_conflict() => {
                self.state.objects.clear_uid_precondition(&object.key);
                *payload = self.payload(context, State::Missing, None).await?;
                self.target.client.apply(info, object, payload).await?
            }
            result => result?,
        };
        Ok(context.observed(metadata))
    }

    /// Whether the object was made with what is known of autoscalers now. If not, it is made anew.
    fn knows_scaling(&self, context: ApplyContext<'_>) -> Result<bool, ApplyError> {
        let ApplyContext { mr, object, .. } = context;
        let is_scaled = self.state.autoscalers.scale(&object.key).map_err(ApplyError::Autoscalers)?;
        let is_same = is_scaled == object.is_autoscaled();
        if !is_same {
            self.target.requests.requeue(mr);
        }
        Ok(is_same)
    }
}
