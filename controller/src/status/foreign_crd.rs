//! Writing the status where the CustomResourceDefinition is somebody else's and lacks fields of ours; telling of that.
//!
//! What the server then drops, [`crate::state`] puts back.

use std::{borrow::Cow, sync::Arc};

use holdfast_core::api::{ManagedResource, Status};
use holdfast_runtime::call::CallError;

use super::{events::Reason, writer};
use crate::reconcile::Reconciler;

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
        let written = match writer::set_status(&self.gate, &self.source, mr, &status).await {
            Err(error) if writer::is_unknown_field(&error) => {
                self.world.set_lossy();
                writer::set_status(&self.gate, &self.source, mr, &listed(&status)).await?
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
