//! Objects that others change as often as we put them right.

use std::{collections::BTreeMap, time::Duration};

use holdfast_core::key::ObjectKey;

use super::World;

impl World {
    /// An object was put right after these managers had changed it. Returns whether this makes it a fight.
    pub fn repaired(&self, object: &ObjectKey, managers: &[String]) -> bool {
        let mut inner = self.lock();
        let now = inner.objects.now();
        inner.objects.fights.repaired(object, managers, now)
    }

    /// Whether somebody changes an object again and again.
    pub fn is_fought_over(&self, object: &ObjectKey) -> bool {
        let inner = self.lock();
        inner.objects.fights.with(object, inner.objects.now()).is_some()
    }

    /// Objects of these that are fought over, with the other managers, and the time until something changes about it.
    pub fn fights<'a>(
        &self,
        objects: impl Iterator<Item = &'a ObjectKey>,
    ) -> (BTreeMap<&'a ObjectKey, Vec<String>>, Option<Duration>) {
        let inner = self.lock();
        let (fights, now) = (&inner.objects.fights, inner.objects.now());
        let mut found = BTreeMap::new();
        let mut next: Option<Duration> = None;
        for object in objects {
            let Some(managers) = fights.with(object, now) else { continue };
            found.insert(object, managers.iter().cloned().collect());
            let wait = fights.wait(object, now);
            let until = if wait.is_zero() { fights.until_over(object, now) } else { wait };
            next = Some(next.map_or(until, |next| next.min(until)));
        }
        (found, next)
    }

    /// Number of objects that are fought over.
    pub fn fight_count(&self) -> usize {
        let inner = self.lock();
        inner.objects.fights.count(inner.objects.now())
    }
}
