//! A CustomResourceDefinition that somebody else installed, without the fields of ours (design §6).
//!
//! The server then drops them from every status we write. Nothing is lost but the memory over a restart: they are put back
//! in memory, so that the status is not taken for a different one in each pass.

use std::{borrow::Cow, sync::Arc};

use holdfast_core::api::{ManagedResource, ResourceReference, Status};
use holdfast_runtime::call::CallError;

use super::{events::Reason, report};
use crate::reconcile::Reconciler;

/// Whether the server dropped our fields from the inventory that was sent.
pub fn is_lossy(sent: &[ResourceReference], stored: &[ResourceReference]) -> bool {
    // What is about to be created is a name alone in any case.
    let has_entries = stored.iter().any(|reference| !reference.pending);
    has_fields(sent) && has_entries && !has_fields(stored)
}

/// Whether any entry of an inventory has a field that is ours alone.
pub fn has_fields(inventory: &[ResourceReference]) -> bool {
    let mut entries = inventory.iter().filter(|reference| !reference.pending);
    entries.any(|reference| reference.resource.is_some() || reference.source.is_some())
}

/// Puts back what is known of the objects of an inventory.
pub fn restore(mr: &mut ManagedResource, known: &[ResourceReference]) {
    let Some(status) = &mut mr.status else { return };
    let known: std::collections::BTreeMap<_, _> =
        known.iter().map(|reference| (reference.object_key(), reference)).collect();
    for reference in &mut status.resources {
        let Some(known) = known.get(&reference.object_key()) else { continue };
        reference.resource = reference.resource.take().or_else(|| known.resource.clone());
        reference.source = reference.source.take().or_else(|| known.source.clone());
        reference.state = reference.state.take().or_else(|| known.state.clone());
        reference.preserved = reference.preserved.take().or_else(|| known.preserved.clone());
    }
}

/// What is said of a CustomResourceDefinition that lacks our fields.
const FOREIGN_DEFINITION: &str = "the CustomResourceDefinition of ManagedResource lacks fields of Holdfast (somebody else installed it): spec.protection and spec.adopt have no effect, and after a restart every object is applied once";

/// A status whose inventory lists what is about to be created, too: a field of its own for that would be dropped.
fn listed(status: &Status) -> Cow<'_, Status> {
    let mut status = Cow::Borrowed(status);
    if status.resources.iter().any(|reference| reference.pending) {
        status.to_mut().resources.iter_mut().for_each(|reference| reference.pending = false);
    }
    status
}

impl Reconciler {
    /// Writes the status if it differs from what the server is known to have.
    pub(crate) async fn write_status(
        &self,
        mr: &Arc<ManagedResource>,
        status: &Status,
    ) -> Result<Arc<ManagedResource>, CallError> {
        let key = mr.key();
        let status = if self.world.is_lossy() { listed(status) } else { Cow::Borrowed(status) };
        let is_same = mr.status.as_ref().unwrap_or(&Status::default()) == &*status;
        if is_same && !self.world.is_rewrite_due(&key) {
            return Ok(Arc::clone(mr));
        }
        let written = match report::set_status(&self.gate, &self.source, mr, &status).await {
            Err(error) if report::is_unknown_field(&error) => {
                self.world.set_lossy();
                report::set_status(&self.gate, &self.source, mr, &listed(&status)).await?
            }
            written => written?,
        };
        self.world.rewritten(&key);
        Ok(self.world.wrote(written))
    }

    /// Says it once when somebody else's CustomResourceDefinition turns out to lack our fields.
    pub(crate) fn tell_lossy(&self, mr: &ManagedResource) {
        let Some(is_lossy) = self.world.lossy_news() else { return };
        self.metrics.foreign_definition.set(is_lossy.into());
        if is_lossy {
            tracing::warn!("{FOREIGN_DEFINITION}");
            self.events.publish(mr, Reason::ForeignDefinition, FOREIGN_DEFINITION);
        } else {
            tracing::info!("the CustomResourceDefinition of ManagedResource has all fields again");
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::api::Status;

    use super::*;

    fn reference(source: Option<&str>) -> ResourceReference {
        ResourceReference { name: "a".into(), source: source.map(Into::into), ..Default::default() }
    }

    #[test]
    fn dropped_fields_are_noticed_and_put_back() {
        let (full, cut) = ([reference(Some("s"))], [reference(None)]);
        assert!(is_lossy(&full, &cut));
        assert!(!is_lossy(&full, &full) && !is_lossy(&cut, &cut) && !is_lossy(&full, &[]));
        let mut mr = ManagedResource {
            status: Some(Status { resources: cut.to_vec(), ..Status::default() }),
            ..ManagedResource::default()
        };
        restore(&mut mr, &full);
        assert_eq!(mr.inventory(), full);
    }
}
