//! Which workloads are scaled by autoscalers.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::{
    inventory::autoscalers::Autoscalers as Scaled,
    key::{NamespacedName, ObjectKey},
};
use tokio::time::Instant;

use crate::desired::DesiredSet;

/// Why it is not known what is scaled before the watch has said anything.
pub(crate) const NO_ANSWER: &str = "the API server has not answered yet";

/// What is known of autoscalers.
pub(crate) struct Autoscalers {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    scaled: Scaled,
    /// A complete list has been seen.
    is_complete: bool,
    /// Why not, if the watch says so.
    failure: Option<String>,
}

impl Default for Autoscalers {
    fn default() -> Self {
        Self { start: Instant::now(), inner: Mutex::default() }
    }
}

impl Autoscalers {
    /// Whether an autoscaler scales a workload.
    ///
    /// # Errors
    /// Why that is not known.
    pub(crate) fn scale(&self, object: &ObjectKey) -> Result<bool, String> {
        let Inner { scaled, is_complete, failure } = &*self.lock();
        if *is_complete {
            Ok(scaled.scales(object))
        } else {
            Err(failure.clone().unwrap_or_else(|| NO_ANSWER.to_owned()))
        }
    }

    /// The watch fails.
    pub(crate) fn set_failure(&self, why: &str) {
        self.lock().failure = Some(why.to_owned());
    }

    /// A complete list of autoscalers has been taken in; these are in it.
    pub(crate) fn set_listed(&self, names: &BTreeSet<NamespacedName>) {
        let now = self.now();
        let mut inner = self.lock();
        let gone: Vec<_> = inner.scaled.names().filter(|name| !names.contains(name)).cloned().collect();
        for name in gone {
            inner.scaled.set(&name, None, now);
        }
        inner.is_complete = true;
    }

    /// Takes in what an autoscaler scales; `None` if it is gone or scales nothing of concern. Returns the workload that is scaled
    /// from now on and was not before.
    pub(super) fn set(&self, name: &NamespacedName, target: Option<ObjectKey>) -> Option<ObjectKey> {
        let now = self.now();
        self.lock().scaled.set(name, target, now)
    }

    /// Autoscalers that are gone for some time do not count any more. Returns the workloads that are not scaled from now on.
    pub(super) fn expire(&self) -> Vec<ObjectKey> {
        let now = self.now();
        self.lock().scaled.expire(now)
    }

    /// Time until [`Self::expire`] has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        Some(self.lock().scaled.next()?.saturating_sub(self.now()))
    }

    /// Nobody listens any more.
    pub(crate) fn forget_all(&self) {
        *self.lock() = Inner::default();
    }

    /// Whether desired objects were made with what is known of autoscalers now.
    pub(super) fn agree_with(&self, set: &DesiredSet) -> bool {
        if !set.heeds_autoscalers() {
            return true;
        }
        let inner = self.lock();
        let mut heeding = set.objects.iter().filter(|object| object.heeds_autoscalers());
        heeding.all(|object| object.is_autoscaled() == inner.scaled.scales(&object.key))
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
