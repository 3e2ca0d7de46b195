//! Writing to ManagedResources: one write of each at a time, whoever has something to say.
//!
//! Each caller makes a status from what it knows and changes its own part of it. If other parts were written meanwhile by this
//! process, both are merged (`holdfast_core::status::merge`), so that none is lost and none is in the way of another. What others
//! wrote meanwhile is a conflict: the server refuses, and the caller looks again.

use std::{borrow::Cow, sync::Arc};

use holdfast_core::{
    api::{ManagedResource, Status},
    key::NamespacedName,
    status::merge,
};
use holdfast_runtime::call::CallError;

use super::{
    events::{Events, Reason},
    source::{self, Presence, SourceClient},
    write_lock::{OwnVersions, WriteLocks},
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
    locks: WriteLocks,
}

impl StatusWriter {
    /// What is written goes into `state`, too.
    pub(crate) fn new(source: SourceClient, state: Arc<ClusterState>, events: Arc<Events>, metrics: Metrics) -> Self {
        Self { source, state, events, metrics, locks: WriteLocks::default() }
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
        mr: &Arc<ManagedResource>,
        finalizer: &str,
        presence: Presence,
    ) -> Result<Arc<ManagedResource>, CallError> {
        let mut lock = self.locks.take(&mr.key()).await;
        let latest = self.latest(mr, lock.versions());
        let written = self.source.set_finalizer(&latest, finalizer, presence).await?;
        lock.wrote(version(&latest), version(&written));
        Ok(self.state.wrote(written))
    }

    /// Removes the annotation that asked for a reconcile.
    ///
    /// # Errors
    /// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time.
    pub(crate) async fn remove_operation(&self, mr: &Arc<ManagedResource>) -> Result<Arc<ManagedResource>, CallError> {
        let mut lock = self.locks.take(&mr.key()).await;
        let latest = self.latest(mr, lock.versions());
        let written = self.source.remove_operation(&latest).await?;
        lock.wrote(version(&latest), version(&written));
        Ok(self.state.wrote(written))
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
        let mut lock = self.locks.take(&key).await;
        let latest = self.latest(mr, lock.versions());
        let empty = Status::default();
        let [base, stored] = [mr, &latest].map(|mr| mr.status.as_ref().unwrap_or(&empty));
        // As a rule nobody else has written, and inventories are large.
        let merged = (!Arc::ptr_eq(mr, &latest)).then(|| merge(base, status, stored));
        let status = merged.as_ref().unwrap_or(status);
        let status = if self.state.foreign_crd.is_present() { without_pending(status) } else { Cow::Borrowed(status) };
        if *stored == *status && !self.state.foreign_crd.is_rewrite_due(&key) {
            return Ok(latest);
        }
        let written = match self.source.set_status(&latest, &status).await {
            Err(error) if source::is_unknown_field(&error) => {
                self.state.foreign_crd.set_present();
                self.source.set_status(&latest, &without_pending(&status)).await?
            }
            written => written?,
        };
        lock.wrote(version(&latest), version(&written));
        self.state.foreign_crd.set_rewritten(&key);
        Ok(self.state.wrote(written))
    }

    /// The ManagedResource as it is known now, if only this process has written it since it was `mr`.
    fn latest(&self, mr: &Arc<ManagedResource>, own: &OwnVersions) -> Arc<ManagedResource> {
        let latest = self.state.managed_resources.get(&mr.key());
        let is_ours = |latest: &Arc<ManagedResource>| {
            latest.metadata.uid == mr.metadata.uid && own.lead(version(mr), version(latest))
        };
        latest.filter(is_ours).unwrap_or_else(|| Arc::clone(mr))
    }

    /// The ManagedResource is gone.
    pub(crate) fn forget(&self, mr: &NamespacedName) {
        self.locks.forget(mr);
    }

    /// Says it once when somebody else's CustomResourceDefinition locks out to lack our fields.
    pub(crate) fn announce_foreign_crd(&self, mr: &ManagedResource) {
        let Some(is_present) = self.state.foreign_crd.take_news() else { return };
        self.metrics.foreign_definition.set(is_present.into());
        if is_present {
            tracing::warn!("{FOREIGN_DEFINITION}");
            self.publish(mr, Reason::ForeignDefinition, FOREIGN_DEFINITION);
        } else {
            tracing::info!("the CustomResourceDefinition of ManagedResource has all fields again");
        }
    }
}

fn version(mr: &ManagedResource) -> &str {
    mr.metadata.resource_version.as_deref().unwrap_or_default()
}

/// A status whose inventory lists what is about to be created, too: a field of its own for that would be dropped.
fn without_pending(status: &Status) -> Cow<'_, Status> {
    let mut status = Cow::Borrowed(status);
    if status.resources.iter().any(|reference| reference.pending) {
        status.to_mut().resources.iter_mut().for_each(|reference| reference.pending = false);
    }
    status
}
