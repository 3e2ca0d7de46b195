//! Which objects are paused at the moment.

use holdfast_core::{
    inventory::drift::Live,
    key::{NamespacedName, ObjectKey},
    pause::Pauses,
};
use jiff::Timestamp;

use super::{Inner, World};

impl Inner {
    /// Whether nothing is to be written to an object of a ManagedResource.
    pub(super) fn is_paused(&self, mr: &NamespacedName, object: &ObjectKey) -> bool {
        let Some(mr) = self.mrs.get(mr) else { return false };
        let has_pause = || Pauses::of(mr).of_object(object, Timestamp::now()).is_some();
        mr.is_ignored() || !mr.pauses().is_empty() && has_pause()
    }
}

/// Whether an object says that it is paused, or is not there to say so.
pub(super) fn needs_no_mark(live: &Live) -> bool {
    match live {
        Live::Present(observed) => observed.deleting || observed.is_marked_paused(),
        Live::Gone | Live::Unknown => true,
    }
}

impl World {
    /// Whether nothing is to be written to an object of a ManagedResource, as it is known now.
    pub fn is_paused(&self, mr: &NamespacedName, object: &ObjectKey) -> bool {
        self.lock().is_paused(mr, object)
    }

    /// Whether a ManagedResource may write to an object, as things are known now: it holds it, is not being deleted, and nothing
    /// pauses it.
    pub fn may_write(&self, mr: &NamespacedName, object: &ObjectKey) -> bool {
        let inner = self.lock();
        let is_held = inner.index.owner_of(object).is_some_and(|owner| owner.key == *mr && !owner.deleting);
        is_held && !inner.is_paused(mr, object)
    }

    /// Whether an object says that it is paused, or is not there to say so. One of which no watch has spoken does not.
    pub fn is_marked(&self, object: &ObjectKey) -> bool {
        let inner = self.lock();
        match inner.objects.latest(object) {
            None => true,
            Some(observed) => observed.deleting || observed.is_marked_paused(),
        }
    }

    /// How many pauses last.
    pub fn lasting_pauses(&self) -> usize {
        let now = Timestamp::now();
        let inner = self.lock();
        let with_pauses = inner.mrs.values().filter(|mr| !mr.pauses().is_empty());
        with_pauses.map(|mr| Pauses::of(mr).active(now).len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{
        api::{ManagedResource, Repair, ResourceReference},
        names,
    };
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff};

    use super::*;

    fn mr(version: &str, held: &[&str], change: impl Fn(&mut ManagedResource)) -> ManagedResource {
        let mut mr = ManagedResource::default();
        (mr.metadata.namespace, mr.metadata.name) = (Some("n".into()), Some("a".into()));
        mr.metadata.resource_version = Some(version.into());
        let reference = |name: &&str| ResourceReference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: "n".into(),
            name: (*name).into(),
            ..ResourceReference::default()
        };
        mr.status.get_or_insert_default().resources = held.iter().map(reference).collect();
        change(&mut mr);
        mr
    }

    #[test]
    fn who_may_write_to_an_object() {
        let object = ObjectKey::new("", "ConfigMap", "n", "x");
        let nothing = |_: &mut ManagedResource| {};
        let deleted = |mr: &mut ManagedResource| mr.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::now()));
        let ignored = |mr: &mut ManagedResource| {
            let annotations = mr.metadata.annotations.get_or_insert_default();
            annotations.insert(names::ANNOTATION_IGNORE.into(), "true".into());
        };
        let other = |mr: &mut ManagedResource| mr.spec.class = Some("other".into());
        for (case, later, expected) in [
            ("as before", mr("2", &["x"], nothing), true),
            ("it is dropped", mr("2", &["y"], nothing), false),
            ("it is being deleted", mr("2", &["x"], deleted), false),
            ("it is left alone", mr("2", &["x"], ignored), false),
            ("another controller takes care of it", mr("2", &["x"], other), false),
        ] {
            let (world, key) = (World::new("", Repair::Watch), later.key());
            world.upsert(mr("1", &["x"], nothing));
            assert!(world.may_write(&key, &object), "{case}: before");
            world.upsert(later);
            assert_eq!(world.may_write(&key, &object), expected, "{case}");
        }
        let world = World::new("", Repair::Watch);
        world.upsert(mr("1", &["x"], nothing));
        assert!(!world.may_write(&NamespacedName::new("n", "b"), &object), "somebody else's");
        world.remove(&NamespacedName::new("n", "a"));
        assert!(!world.may_write(&NamespacedName::new("n", "a"), &object), "it is gone");
    }
}
