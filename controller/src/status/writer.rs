//! Writing the status of ManagedResources.

use std::{borrow::Cow, sync::Arc};

use holdfast_core::api::{ManagedResource, Status};
use holdfast_runtime::call::CallError;

use super::{
    events::{Events, Reason},
    source::{self, Presence, SourceClient},
};
use crate::{metrics::Metrics, state::ClusterState};

/// What is said of a CustomResourceDefinition that lacks our fields.
const FOREIGN_DEFINITION: &str = "the CustomResourceDefinition of ManagedResource lacks fields of Holdfast (somebody else installed it): spec.protection and spec.adopt have no effect, and after a restart every object is applied once";

/// Writes to ManagedResources, and publishes Events about them.
pub(crate) struct StatusWriter {
    source: SourceClient,
    state: Arc<ClusterState>,
    events: Arc<Events>,
    metrics: Metrics,
}

impl StatusWriter {
    /// What is written goes into `state`, too.
    pub(crate) fn new(source: SourceClient, state: Arc<ClusterState>, events: Arc<Events>, metrics: Metrics) -> Self {
        Self { source, state, events, metrics }
    }

    /// The cluster of the ManagedResources.
    pub(crate) fn source(&self) -> &SourceClient {
        &self.source
    }

    /// Publishes an Event.
    pub(crate) fn publish(&self, mr: &ManagedResource, reason: Reason, note: &str) {
        self.events.publish(mr, reason, note);
    }

    /// Adds our finalizer or removes it.
    ///
    /// # Errors
    /// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time.
    pub(crate) async fn set_finalizer(
        &self,
        mr: &ManagedResource,
        finalizer: &str,
        presence: Presence,
    ) -> Result<Arc<ManagedResource>, CallError> {
        Ok(self.state.wrote(self.source.set_finalizer(mr, finalizer, presence).await?))
    }

    /// Removes the annotation that asked for a reconcile.
    ///
    /// # Errors
    /// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time.
    pub(crate) async fn remove_operation(&self, mr: &ManagedResource) -> Result<Arc<ManagedResource>, CallError> {
        Ok(self.state.wrote(self.source.remove_operation(mr).await?))
    }

    /// Writes the status if it differs from what the server is known to have.
    ///
    /// # Errors
    /// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time.
    pub(crate) async fn write(
        &self,
        mr: &Arc<ManagedResource>,
        status: &Status,
    ) -> Result<Arc<ManagedResource>, CallError> {
        let key = mr.key();
        let status = if self.state.foreign_crd.is_present() { without_pending(status) } else { Cow::Borrowed(status) };
        let is_same = mr.status.as_ref().unwrap_or(&Status::default()) == &*status;
        if is_same && !self.state.foreign_crd.is_rewrite_due(&key) {
            return Ok(Arc::clone(mr));
        }
        let written = match self.source.set_status(mr, &status).await {
            Err(error) if source::is_unknown_field(&error) => {
                self.state.foreign_crd.set_present();
                self.source.set_status(mr, &without_pending(&status)).await?
            }
            written => written?,
        };
        self.state.foreign_crd.set_rewritten(&key);
        Ok(self.state.wrote(written))
    }

    /// Says it once when somebody else's CustomResourceDefinition turns out to lack our fields.
    pub(crate) fn announce_foreign_crd(&self, mr: &ManagedResource) {
        let Some(is_lossy) = self.state.foreign_crd.take_news() else { return };
        self.metrics.foreign_definition.set(is_lossy.into());
        if is_lossy {
            tracing::warn!("{FOREIGN_DEFINITION}");
            self.publish(mr, Reason::ForeignDefinition, FOREIGN_DEFINITION);
        } else {
            tracing::info!("the CustomResourceDefinition of ManagedResource has all fields again");
        }
    }
}

/// A status whose inventory lists what is about to be created, too: a field of its own for that would be dropped.
fn without_pending(status: &Status) -> Cow<'_, Status> {
    let mut status = Cow::Borrowed(status);
    if status.resources.iter().any(|reference| reference.pending) {
        status.to_mut().resources.iter_mut().for_each(|reference| reference.pending = false);
    }
    status
}
