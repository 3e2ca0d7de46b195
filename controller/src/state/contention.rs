//! Objects that others change as often as we repair them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::{inventory::contention::Contests, key::ObjectKey};
use tokio::time::Instant;

/// The repairs of late.
pub(crate) struct Contention {
    start: Instant,
    repairs: Mutex<Contests>,
}

impl Default for Contention {
    fn default() -> Self {
        Self { start: Instant::now(), repairs: Mutex::default() }
    }
}

/// Contended objects among some.
pub(crate) struct Contended<'a> {
    /// With the other managers.
    pub(crate) objects: BTreeMap<&'a ObjectKey, Vec<String>>,
    /// Until something changes about one of them.
    pub(crate) next: Option<Duration>,
}

impl Contention {
    /// An object was repaired after these managers had changed it. Returns whether contention begins with this.
    pub(crate) fn repaired(&self, object: &ObjectKey, managers: &[String]) -> bool {
        let now = self.now();
        self.lock().repaired(object, managers, now)
    }

    /// Whether somebody changes an object again and again.
    pub(crate) fn is_contended(&self, object: &ObjectKey) -> bool {
        self.lock().with(object, self.now()).is_some()
    }

    /// Whether the next repair of an object is not due yet.
    pub(super) fn has_to_wait(&self, object: &ObjectKey) -> bool {
        !self.lock().wait(object, self.now()).is_zero()
    }

    /// Those of these objects that are contended.
    pub(crate) fn among<'a>(&self, objects: impl Iterator<Item = &'a ObjectKey>) -> Contended<'a> {
        let (repairs, now) = (self.lock(), self.now());
        let mut found = Contended { objects: BTreeMap::new(), next: None };
        for object in objects {
            let Some(managers) = repairs.with(object, now) else { continue };
            found.objects.insert(object, managers.iter().cloned().collect());
            let wait = repairs.wait(object, now);
            let until = if wait.is_zero() { repairs.until_over(object, now) } else { wait };
            found.next = Some(found.next.map_or(until, |next| next.min(until)));
        }
        found
    }

    /// Number of contended objects.
    pub(crate) fn count(&self) -> usize {
        self.lock().count(self.now())
    }

    /// The object is not ours any more.
    pub(super) fn forget(&self, object: &ObjectKey) {
        self.lock().forget(object);
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Contests> {
        self.repairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
