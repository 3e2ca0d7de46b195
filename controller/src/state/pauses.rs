//! Which objects are paused at the moment.

use holdfast_core::{
    inventory::drift::Live,
    key::{NamespacedName, ObjectKey},
    pause::Pauses,
};
use jiff::Timestamp;

use super::managed_resources::{Inner, ManagedResources};

impl Inner {
    /// Whether nothing is to be written to an object of a ManagedResource.
    fn is_paused(&self, mr: &NamespacedName, object: &ObjectKey) -> bool {
        let Some(mr) = self.mrs.get(mr) else { return false };
        let has_pause = || Pauses::of(mr).of_object(object, Timestamp::now()).is_some();
        mr.is_ignored() || !mr.pauses().is_empty() && has_pause()
    }
}

/// Whether an object says that it is paused, or is not there to say so.
pub(super) fn needs_no_label(live: &Live) -> bool {
    match live {
        Live::Present(observed) => observed.deleting || observed.has_pause_label(),
        Live::Gone | Live::Unknown => true,
    }
}

impl ManagedResources {
    /// Whether nothing is to be written to an object of a ManagedResource, as it is known now.
    pub(crate) fn is_paused(&self, mr: &NamespacedName, object: &ObjectKey) -> bool {
        self.lock().is_paused(mr, object)
    }

    /// Whether a ManagedResource may write to an object, as things are known now: it holds it, is not being deleted, and nothing
    /// pauses it.
    pub(crate) fn may_write(&self, mr: &NamespacedName, object: &ObjectKey) -> bool {
        let inner = self.lock();
        let is_owner = inner.index.owner_of(object).is_some_and(|owner| owner.key == *mr && !owner.deleting);
        is_owner && !inner.is_paused(mr, object)
    }

    /// Number of active pauses.
    pub(crate) fn active_pauses(&self) -> usize {
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
    use crate::state::ClusterState;

    fn applying(version: &str, names: &[&str], change: impl Fn(&mut ManagedResource)) -> ManagedResource {
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
        mr.status.get_or_insert_default().resources = names.iter().map(reference).collect();
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
            ("as before", applying("2", &["x"], nothing), true),
            ("it is dropped", applying("2", &["y"], nothing), false),
            ("it is being deleted", applying("2", &["x"], deleted), false),
            ("it is left alone", applying("2", &["x"], ignored), false),
            ("another controller takes care of it", applying("2", &["x"], other), false),
        ] {
            let (state, key) = (ClusterState::new("", Repair::Watch), later.key());
            state.upsert(applying("1", &["x"], nothing));
            assert!(state.managed_resources.may_write(&key, &object), "{case}: before");
            state.upsert(later);
            assert_eq!(state.managed_resources.may_write(&key, &object), expected, "{case}");
        }
        let state = ClusterState::new("", Repair::Watch);
        state.upsert(applying("1", &["x"], nothing));
        assert!(!state.managed_resources.may_write(&NamespacedName::new("n", "b"), &object), "somebody else's");
        state.remove(&NamespacedName::new("n", "a"));
        assert!(!state.managed_resources.may_write(&NamespacedName::new("n", "a"), &object), "it is gone");
    }
}
