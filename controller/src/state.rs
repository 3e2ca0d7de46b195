//! What the process knows, fed by watches and by our own writes.
//!
//! Each store has one concern and its own lock, held for moments and never across an await. Two things need more than one store
//! in one step: a plan and its claims, and taking in an inventory only while nothing is planned of it. Both happen under the lock
//! of [`managed_resources`], which is therefore taken before all others; the others are never held together.

mod autoscalers;
mod contention;
mod events;
mod foreign_crd;
mod intake;
mod managed_resources;
mod manifests;
mod objects;
mod pauses;
mod planning;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::Arc;

use holdfast_core::{
    api::Repair,
    key::{NamespacedName, ObjectKey},
};

use crate::desired::DesiredSet;
use autoscalers::Autoscalers;
use contention::Contention;
use foreign_crd::ForeignCrd;
use managed_resources::ManagedResources;
use manifests::Manifests;
use objects::Objects;

pub(crate) use autoscalers::NO_ANSWER;
pub(crate) use events::{DriftNotice, Scope};
pub(crate) use planning::PlanOptions;

/// All that is known. Empty at start.
pub(crate) struct ClusterState {
    pub(crate) managed_resources: ManagedResources,
    pub(crate) foreign_crd: ForeignCrd,
    pub(crate) objects: Objects,
    pub(crate) contention: Contention,
    pub(crate) manifests: Manifests,
    pub(crate) autoscalers: Autoscalers,
    default_repair: Repair,
}

impl ClusterState {
    /// Nothing is known yet. `class` says which ManagedResources are ours, `default_repair` when drift is repaired where
    /// they do not say.
    pub(crate) fn new(class: &str, default_repair: Repair) -> Self {
        Self {
            managed_resources: ManagedResources::new(class),
            foreign_crd: ForeignCrd::default(),
            objects: Objects::default(),
            contention: Contention::default(),
            manifests: Manifests::default(),
            autoscalers: Autoscalers::default(),
            default_repair,
        }
    }

    /// Forgets an object: it is not ours any more.
    pub(crate) fn forget_object(&self, object: &ObjectKey) {
        self.objects.forget(object);
        self.contention.forget(object);
    }

    /// What a ManagedResource desires, unless a Secret or what autoscalers scale has changed since it was loaded.
    pub(crate) fn desired_set(&self, mr: &NamespacedName) -> Option<Arc<DesiredSet>> {
        self.manifests.current(mr).filter(|set| self.autoscalers.agree_with(set))
    }
}
