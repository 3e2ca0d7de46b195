//! What watches say, and who has to look at it.

use holdfast_core::{
    api::Repair,
    field_ownership::{ManagedScope, preserve::Preserve},
    inventory::drift::{Live, State},
    key::{NamespacedName, ObjectKey},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{ClusterState, pauses::needs_no_label};

/// A watch has spoken of an object that a ManagedResource has to look at.
#[derive(Clone, Debug)]
pub(crate) struct DriftNotice {
    /// The ManagedResource.
    pub(crate) mr: NamespacedName,
    /// It is the first sign of a change by others.
    pub(crate) is_first: bool,
    /// It waits until the next sync.
    pub(crate) is_deferred: bool,
}

/// What is managed of an object, for reading what a watch says of it.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) preserve: Preserve,
    pub(crate) managed_scope: ManagedScope,
}

impl ClusterState {
    /// What is managed of an object of which a watch speaks; `None` if it only repeats our last write.
    pub(crate) fn scope_unless_own_write(&self, object: &ObjectKey, metadata: &ObjectMeta) -> Option<Scope> {
        if self.objects.is_own_write(object, metadata) {
            return None;
        }
        Some(Scope { preserve: self.objects.preserve(object), managed_scope: self.managed_resources.scope_of(object) })
    }

    /// Takes in what a watch says. `gone` is the uid of an object that ended, where it is told.
    pub(crate) fn observe(&self, object: &ObjectKey, live: Live, gone: Option<&str>) -> Option<DriftNotice> {
        let mr = self.managed_resources.owner_of(object)?;
        // Nothing is to be done before the end of the pause.
        let is_ignored = needs_no_label(&live) && self.managed_resources.is_paused(&mr, object);
        let sighting = self.objects.observe(&mr, object, live, gone, is_ignored)?;
        let repair = self.managed_resources.get(&mr).map_or(self.default_repair, |mr| mr.repair(self.default_repair));
        let is_deferred = repair == Repair::Resync && sighting.state != State::Terminating;
        Some(DriftNotice { mr, is_first: sighting.is_first, is_deferred })
    }

    /// Takes in a version of a Secret, `None` if it is gone. Returns the ManagedResources that have not loaded exactly this one.
    pub(crate) fn set_secret_version(&self, secret: &NamespacedName, version: Option<&str>) -> Vec<NamespacedName> {
        self.manifests.set_secret_version(secret, version, self.managed_resources.users_of_secret(secret))
    }

    /// Takes in what an autoscaler scales; `None` if it is gone or scales nothing of concern. Returns the ManagedResources
    /// that have to look at it.
    pub(crate) fn set_autoscaler(&self, name: &NamespacedName, target: Option<ObjectKey>) -> Vec<NamespacedName> {
        let scaled = self.autoscalers.set(name, target);
        scaled.map(|workload| self.made_otherwise(&workload)).unwrap_or_default()
    }

    /// Autoscalers that are gone for some time do not count any more. Returns the ManagedResources that have to look at it.
    pub(crate) fn expire_autoscalers(&self) -> Vec<NamespacedName> {
        self.autoscalers.expire().iter().flat_map(|workload| self.made_otherwise(workload)).collect()
    }

    /// ManagedResources whose desired objects were made before it was known whether a workload is scaled.
    fn made_otherwise(&self, workload: &ObjectKey) -> Vec<NamespacedName> {
        let agrees = |mr: &NamespacedName| self.manifests.last(mr).is_none_or(|set| self.autoscalers.agree_with(&set));
        self.manifests.users_of_workload(workload).into_iter().filter(|mr| !agrees(mr)).collect()
    }
}
