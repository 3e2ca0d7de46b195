//! Objects that are created when they are absent, and then belong to others.

use holdfast_core::{
    deletion::orphan,
    field_ownership::external_fields::Change,
    inventory::{
        drift::{Applied, Observed, State},
        repair::Cause,
    },
};
use serde_json::json;

use super::{
    Applier,
    context::{ApplyContext, ObjectOutcome},
};
use crate::target::{
    client::{DryRun, JsonPatch},
    error::ApplyError,
};

/// How often an object is looked at in one go. More than once only if somebody writes at the same moment.
const TRIES: usize = 5;

/// The object as it is there now.
enum Found {
    Existing(Observed),
    Created(Observed),
}

impl Applier {
    /// Creates one object if it is absent. If it is there, nothing is changed but what says that it is managed.
    ///
    /// # Errors
    /// It is being deleted, or the server refuses, or no answer comes in time.
    pub(super) async fn create_if_absent(&self, context: ApplyContext<'_>) -> Result<ObjectOutcome, ApplyError> {
        let ApplyContext { object, digest, .. } = context;
        let before = self.state.objects.state(&object.key, digest);
        for _ in 0..TRIES {
            let found = match self.get_or_create(context).await {
                Err(ApplyError::Call(error)) if error.is_conflict() => continue,
                result => result?,
            };
            let (Found::Existing(observed) | Found::Created(observed)) = &found;
            let applied =
                Applied { manifest: digest, management_mode: object.management_mode, observed: observed.clone() };
            self.state.objects.applied(context.mr, &object.key, applied);
            let mut outcome = ObjectOutcome::default();
            if matches!(found, Found::Created(_)) && before == State::Missing {
                self.count_repair(object, Cause::Deleted);
                outcome.repaired = Some(Change::default());
            }
            return Ok(outcome);
        }
        Err(ApplyError::Contended)
    }

    async fn get_or_create(&self, context: ApplyContext<'_>) -> Result<Found, ApplyError> {
        let (object, client, endpoint) = (context.object, &self.target.client, context.endpoint()?);
        let Some(live) = client.get(&endpoint, &object.key).await? else {
            let created = client.create(context.info()?, object, DryRun::No).await?;
            return Ok(Found::Created(context.observed(created)));
        };
        if live.deletion_timestamp.is_some() {
            return Err(ApplyError::Terminating);
        }
        let Some(operations) = orphan::patch_unheld(&json!({ "metadata": live }), object.management_mode) else {
            return Ok(Found::Existing(context.observed(live)));
        };
        let patched = client.patch_json(JsonPatch::new("take off marks", operations), &endpoint, &object.key).await?;
        Ok(Found::Existing(context.observed(patched)))
    }
}
