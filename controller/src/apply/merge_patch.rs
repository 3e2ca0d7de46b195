//! Writing objects whose manifests the server refuses to apply: create, later merge-patch.

use holdfast_core::{
    field_ownership::merge_patch,
    inventory::drift::{Observed, State},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::{
    Applier,
    context::{ApplyContext, ObjectOutcome},
};
use crate::target::{client::DryRun, error::ApplyError};

impl ApplyError {
    /// Whether a plain write may succeed where this apply did not.
    pub(super) fn calls_for_merge_patch(&self) -> bool {
        let Self::Call(error) = self else { return false };
        error.status().is_some_and(|status| merge_patch::is_called_for(status.code, &status.message))
    }
}

impl Applier {
    /// Writes an object that the server refuses to apply; `refusal` says why.
    pub(super) async fn write_plainly(
        &self,
        context: ApplyContext<'_>,
        before: State,
        refusal: &ApplyError,
        outcome: &mut ObjectOutcome,
    ) -> Result<Observed, ApplyError> {
        let object = context.object;
        let metadata = self.create_or_patch(context, before).await?;
        self.metrics.fallbacks.inc();
        if self.state.objects.set_written_plainly(&object.key, true) {
            outcome.plain = Some(refusal.words(&object.key));
        }
        Ok(context.observed(metadata))
    }

    /// The live metadata is read first: it says what is to be removed, and whether the object is there at all. The server drops
    /// fields that it does not know and keeps duplicates.
    async fn create_or_patch(&self, context: ApplyContext<'_>, before: State) -> Result<ObjectMeta, ApplyError> {
        let (object, client, endpoint) = (context.object, &self.target.client, context.endpoint()?);
        let Some(live) = client.get(&endpoint, &object.key).await? else {
            return client.create(context.info()?, object, DryRun::No).await;
        };
        let managed_fields = json!(live.managed_fields.unwrap_or_default());
        let managed_fields: &[Value] = managed_fields.as_array().map_or(&[], Vec::as_slice);
        let (kind, unmanaged) = (object.key.kind(), context.unmanaged_in(before));
        let mut patch = merge_patch::merge_patch(&object.body.value(), managed_fields, kind, context.scope, unmanaged);
        patch["metadata"]["uid"] = json!(live.uid);
        Ok(client.patch_merge("patch", &endpoint, &object.key, &patch).await?)
    }
}
