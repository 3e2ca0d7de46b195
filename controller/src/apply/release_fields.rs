//! Fields that we do not manage once they are there: not applied again, and released where they are ours.
//!
//! An apply that leaves out a field which nobody but us owns removes it. So ownership is transferred first, or right after a
//! creation; the value is never read and sent back, so nothing races.

use holdfast_core::{
    field_ownership::preserve::Preserve,
    inventory::drift::{Observed, State},
};
use serde_json::Value;

use super::{Applier, context::ApplyContext};
use crate::target::{
    error::ApplyError,
    payload::{ApplyPayload, PayloadFields},
};

/// How often an object is looked at that moves while its fields are being released.
const TRIES: usize = 10;

impl Applier {
    /// The manifest without the fields that we do not manage and that are there. Those of them that are ours are released before.
    pub(super) async fn payload<'a>(
        &self,
        context: ApplyContext<'a>,
        before: State,
        seen: Option<&Observed>,
    ) -> Result<ApplyPayload<'a>, ApplyError> {
        let (object, unmanaged) = (context.object, context.unmanaged_in(before));
        let all = |uid| ApplyPayload { fields: PayloadFields::All(context.body.body()), uid };
        let managed = |value, uid| ApplyPayload { fields: PayloadFields::Managed(value), uid };
        let has_ignore_paths = !context.scope.ignored.is_none();
        let is_nothing = object.preserve == Preserve::of_kind(&object.key) || self.state.objects.has_released(object);
        if context.is_fully_managed() || is_nothing && !unmanaged.is_declared() {
            return Ok(all(self.state.objects.uid(&object.key)));
        }
        if before == State::InSync && !has_ignore_paths {
            // As it was applied the last time.
            return Ok(managed(unmanaged.stripped(&[]), self.state.objects.uid(&object.key)));
        }
        let mut seen = seen.filter(|seen| !seen.deleting).cloned();
        for _ in 0..TRIES {
            let live = match seen.take() {
                Some(live) => live,
                None => match self.get(context).await? {
                    Some(live) => live,
                    None => return Ok(all(None)),
                },
            };
            let uid = Some(live.uid.clone());
            let Some(released) = unmanaged.released(&live.managed_fields) else {
                return Ok(managed(unmanaged.missing(&live.managed_fields), uid));
            };
            if self.transfer(context, &released, &live).await?.is_some() {
                return Ok(managed(unmanaged.missing(&released), uid));
            }
        }
        Err(ApplyError::Contended)
    }

    /// Releases what an apply has just made ours.
    pub(super) async fn release_fields(
        &self,
        context: ApplyContext<'_>,
        mut observed: Observed,
    ) -> Result<Observed, ApplyError> {
        if context.is_fully_managed() {
            return Ok(observed);
        }
        for _ in 0..TRIES {
            let Some(released) = context.unmanaged().released(&observed.managed_fields) else { return Ok(observed) };
            if let Some(transferred) = self.transfer(context, &released, &observed).await? {
                return Ok(transferred);
            }
            // Gone again: the watch tells.
            let Some(moved) = self.get(context).await? else { return Ok(observed) };
            observed = moved;
        }
        Err(ApplyError::Contended)
    }

    /// Puts `managedFields` in place. `None` if the object has moved meanwhile.
    async fn transfer(
        &self,
        context: ApplyContext<'_>,
        managed_fields: &[Value],
        live: &Observed,
    ) -> Result<Option<Observed>, ApplyError> {
        let (object, info) = (context.object, context.info()?);
        tracing::debug!(object = %object.key, "leaving fields to others");
        let client = &self.target.client;
        let answer = client.set_managed_fields(info, object, managed_fields, &live.resource_version).await?;
        Ok(answer.map(|metadata| context.observed(metadata)))
    }

    /// The live object; `None` if there is none.
    async fn get(&self, context: ApplyContext<'_>) -> Result<Option<Observed>, ApplyError> {
        let live = self.target.client.get(&context.endpoint()?, &context.object.key).await?;
        Ok(live.map(|live| context.observed(live)))
    }
}
