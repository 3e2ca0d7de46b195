//! Fields that others wrote: they are made ours, so that the next apply removes them.

use holdfast_core::{inventory::drift::Observed, key::Gvk};

use super::{Applier, context::ApplyContext};
use crate::target::error::ApplyError;

/// What came of taking over external fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adoption {
    /// There are none that could be taken over.
    Nothing,
    /// They are ours now, or the object has moved meanwhile and has to be looked at again.
    Tried,
}

impl Adoption {
    pub(super) fn is_tried(self) -> bool {
        self == Self::Tried
    }
}

impl Applier {
    /// Makes external fields of the object as it was observed ours; those written through another version are removed.
    pub(super) async fn take_over(
        &self,
        context: ApplyContext<'_>,
        observed: &Observed,
    ) -> Result<Adoption, ApplyError> {
        if self.adopt(context, observed).await? == Adoption::Tried {
            return Ok(Adoption::Tried);
        }
        let object = context.object;
        let external = context.external(&observed.managed_fields);
        let Some(other_version) = external.other_version() else { return Ok(Adoption::Nothing) };
        let gvk = Gvk::new(&other_version.api_version, &object.gvk.kind);
        // A version that is not served any more: nobody writes through it, and neither can we.
        let Some(info) = context.snapshot.kinds.get(&gvk) else { return Ok(Adoption::Nothing) };
        tracing::info!(object = %object.key, version = other_version.api_version, managers = external.managers().join(", "), "removing fields that others wrote through another version");
        let (client, version) = (&self.target.client, &observed.resource_version);
        if client.set_managed_fields(info, object, &other_version.managed_fields, version).await?.is_some() {
            client.remove_fields(info, &gvk, &object.key).await?;
        }
        Ok(Adoption::Tried)
    }

    /// Makes external fields of the object as it was observed ours.
    pub(super) async fn adopt(&self, context: ApplyContext<'_>, observed: &Observed) -> Result<Adoption, ApplyError> {
        let ApplyContext { object, snapshot, .. } = context;
        let Some(info) = snapshot.kinds.get(&object.gvk) else { return Ok(Adoption::Nothing) };
        let external = context.external(&observed.managed_fields);
        let Some(adopted) = external.adopted() else { return Ok(Adoption::Nothing) };
        tracing::info!(object = %object.key, managers = external.managers().join(", "), "taking over fields that others wrote");
        self.target.client.set_managed_fields(info, object, &adopted, &observed.resource_version).await?;
        Ok(Adoption::Tried)
    }
}
