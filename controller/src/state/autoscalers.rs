//! Which workloads are scaled by autoscalers, and whose loaded manifests were made before that was known.

use std::{collections::BTreeSet, time::Duration};

use holdfast_core::{
    inventory::autoscalers::Autoscalers,
    key::{NamespacedName, ObjectKey},
    manifest::Desired,
};

use super::{Inner, World};
use crate::desired::DesiredSet;

/// Why it is not known what is scaled before the watch has said anything.
pub const NO_ANSWER: &str = "the API server has not answered yet";

/// What is known of autoscalers.
#[derive(Default)]
pub(super) struct Autoscaled {
    all: Autoscalers,
    /// A complete list has been seen.
    is_known: bool,
    /// Why not, if the watch says so.
    failure: Option<String>,
    /// ManagedResources whose loaded manifests are to be made anew.
    outdated: BTreeSet<NamespacedName>,
}

impl Inner {
    /// Of the ManagedResources that declare a workload, all have to look at it anew.
    fn outdate(&mut self, object: &ObjectKey) -> Vec<NamespacedName> {
        let all = &self.autoscaled.all;
        let is_meant = |key: &ObjectKey| key.name() == object.name() && key.namespace() == object.namespace();
        let declares = |loaded: &DesiredSet| {
            let mut desired = loaded.objects.iter();
            loaded.heeds_autoscalers() && desired.any(|desired| is_meant(&desired.key) && is_other(desired, all))
        };
        let mrs: Vec<_> = self.loaded.iter().filter(|(_, loaded)| declares(loaded)).map(|(mr, _)| mr.clone()).collect();
        self.autoscaled.outdated.extend(mrs.iter().cloned());
        mrs
    }

    /// Whether loaded manifests were made with what is known of autoscalers now.
    pub(super) fn is_scaled_as(&self, mr: &NamespacedName) -> bool {
        !self.autoscaled.outdated.contains(mr)
    }

    /// The ManagedResource is gone.
    pub(super) fn forget_scaled(&mut self, mr: &NamespacedName) {
        self.autoscaled.outdated.remove(mr);
    }

    /// DesiredSet manifests have been made anew, possibly with what was known a moment ago.
    pub(super) fn note_scaled(&mut self, mr: &NamespacedName, loaded: &DesiredSet) {
        let all = &self.autoscaled.all;
        if loaded.heeds_autoscalers() && loaded.objects.iter().any(|desired| is_other(desired, all)) {
            self.autoscaled.outdated.insert(mr.clone());
        } else {
            self.autoscaled.outdated.remove(mr);
        }
    }
}

/// Whether it was made with another answer to the question whether it is scaled.
fn is_other(desired: &Desired, all: &Autoscalers) -> bool {
    desired.heeds_autoscalers() && desired.is_autoscaled() != all.scales(&desired.key)
}

impl World {
    /// Whether any ManagedResource declares a workload for which autoscalers matter.
    pub fn heeds_autoscalers(&self) -> bool {
        self.lock().loaded.values().any(|loaded| loaded.heeds_autoscalers())
    }

    /// ManagedResources with such workloads.
    pub fn users_of_autoscalers(&self) -> Vec<NamespacedName> {
        let inner = self.lock();
        let users = inner.loaded.iter().filter(|(_, loaded)| loaded.heeds_autoscalers());
        users.map(|(mr, _)| mr.clone()).collect()
    }

    /// Whether an autoscaler scales a workload.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn is_autoscaled(&self, object: &ObjectKey) -> Result<bool, String> {
        let inner = self.lock();
        let Autoscaled { all, is_known, failure, .. } = &inner.autoscaled;
        if *is_known { Ok(all.scales(object)) } else { Err(failure.clone().unwrap_or_else(|| NO_ANSWER.to_owned())) }
    }

    /// The watch of autoscalers fails.
    pub fn autoscalers_fail(&self, why: &str) {
        self.lock().autoscaled.failure = Some(why.to_owned());
    }

    /// A complete list of autoscalers has been taken in; these are in it.
    pub fn knows_autoscalers(&self, names: &BTreeSet<NamespacedName>) {
        let mut inner = self.lock();
        let now = inner.objects.now();
        let gone: Vec<_> = inner.autoscaled.all.names().filter(|name| !names.contains(name)).cloned().collect();
        for name in gone {
            inner.autoscaled.all.set(&name, None, now);
        }
        inner.autoscaled.is_known = true;
    }

    /// Takes in what an autoscaler scales; `None` if it is gone or scales nothing of concern. Returns the ManagedResources
    /// that have to look at it.
    pub fn set_autoscaler(&self, name: &NamespacedName, target: Option<ObjectKey>) -> Vec<NamespacedName> {
        let mut inner = self.lock();
        let now = inner.objects.now();
        let scaled = inner.autoscaled.all.set(name, target, now);
        scaled.map(|object| inner.outdate(&object)).unwrap_or_default()
    }

    /// Autoscalers that are gone for some time do not count any more. Returns the ManagedResources that have to look at it.
    pub fn expire_autoscalers(&self) -> Vec<NamespacedName> {
        let mut inner = self.lock();
        let now = inner.objects.now();
        let objects = inner.autoscaled.all.expire(now);
        objects.iter().flat_map(|object| inner.outdate(object)).collect()
    }

    /// Time until [`Self::expire_autoscalers`] has something to do.
    pub fn next_autoscaler_expiry(&self) -> Option<Duration> {
        let inner = self.lock();
        Some(inner.autoscaled.all.next()?.saturating_sub(inner.objects.now()))
    }

    /// Nobody listens any more.
    pub fn forget_autoscalers(&self) {
        self.lock().autoscaled = Autoscaled::default();
    }
}
