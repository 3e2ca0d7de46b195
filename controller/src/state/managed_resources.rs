//! What is known of the ManagedResources themselves: as the server tells them, and as we wrote them.

use std::sync::Arc;

use holdfast_core::{
    api::ManagedResource,
    inventory::responsibility::{Phase, has_finalizer, phase},
    key::NamespacedName,
};

use super::{Inner, World, foreign_crd};

impl Inner {
    fn take_in(&mut self, key: NamespacedName, mr: Arc<ManagedResource>, class: &str) {
        if phase(&mr, class) == Phase::NotOurs {
            self.let_go(key, &mr);
            return;
        }
        self.index.upsert(&mr);
        // Once we have worked on it, we know better: an inventory that is written while objects are being pruned still names
        // them, and what it says of them must not pass for an object that is there.
        if !self.planned.contains(&key) {
            mr.inventory().iter().for_each(|reference| self.objects.recall(reference));
        }
        self.mrs.insert(key, mr);
    }

    /// What another controller holds, perhaps in another cluster, is not weighed against what we hold. Only that the
    /// ManagedResource is there is remembered, and in which version, so that older news are known for what they are.
    fn let_go(&mut self, key: NamespacedName, mr: &ManagedResource) {
        self.remove(&key);
        let mut known = ManagedResource { metadata: mr.metadata.clone(), spec: mr.spec.clone(), status: None };
        known.metadata.managed_fields = None;
        self.mrs.insert(key, Arc::new(known));
    }
}

fn has_observations(mr: &ManagedResource) -> bool {
    mr.inventory().iter().any(|reference| reference.state.is_some())
}

/// What another controller observed of objects, perhaps in another cluster, says nothing about what we would find.
fn without_observations(mut mr: ManagedResource) -> ManagedResource {
    for reference in mr.status.iter_mut().flat_map(|status| &mut status.resources) {
        reference.state = None;
    }
    mr
}

impl World {
    /// Takes in a ManagedResource as the server tells it; false when it is not newer than what is known, such as the echo of
    /// our own write, nor any concern of ours.
    pub fn upsert(&self, mut mr: ManagedResource) -> bool {
        let key = mr.key();
        let is_ours = phase(&mr, &self.class) != Phase::NotOurs;
        let mut inner = self.lock();
        if is_ours && has_observations(&mr) && !has_finalizer(&mr, &self.class) {
            inner.inherited.insert(key.clone());
        }
        if inner.inherited.contains(&key) {
            mr = without_observations(mr);
        }
        // Fields of ours that the server tells of are kept by it. Only it can say so: what we wrote is no evidence.
        if foreign_crd::has_fields(mr.inventory()) {
            inner.lacking.remove(&key);
            if std::mem::take(&mut inner.is_lossy) {
                let lacking = std::mem::take(&mut inner.lacking);
                inner.rewrites.extend(lacking);
            }
        }
        if let Some(known) = inner.mrs.get(&key).cloned() {
            let is_echo = known.metadata.resource_version == mr.metadata.resource_version;
            if is_echo && foreign_crd::is_lossy(known.inventory(), mr.inventory()) {
                inner.is_lossy = true;
                inner.lacking.insert(key.clone());
            }
            if !is_newer(&mr, &known) {
                return false;
            }
            if inner.is_lossy {
                if foreign_crd::is_lossy(known.inventory(), mr.inventory()) {
                    inner.lacking.insert(key.clone());
                }
                foreign_crd::restore(&mut mr, known.inventory());
            }
        }
        let was_ours = inner.mrs.get(&key).is_some_and(|known| phase(known, &self.class) != Phase::NotOurs);
        inner.take_in(key, Arc::new(mr), &self.class);
        is_ours || was_ours
    }

    /// Takes in a ManagedResource as we wrote it and the server acknowledged it. Returns it.
    pub fn wrote(&self, mr: ManagedResource) -> Arc<ManagedResource> {
        let (key, mr) = (mr.key(), Arc::new(mr));
        let mut inner = self.lock();
        // The watch was quicker than the answer: it is gone, and one of the same name must not inherit what it held.
        let Some(known) = inner.mrs.get(&key).cloned() else { return mr };
        // From the first status of ours on, what it remembers was observed by us.
        let is_first = has_observations(&mr) && inner.inherited.remove(&key);
        let is_echoed = known.metadata.resource_version == mr.metadata.resource_version;
        // The watch was quicker than the answer, and did not have what was written.
        if is_echoed && foreign_crd::is_lossy(mr.inventory(), known.inventory()) {
            inner.is_lossy = true;
            inner.lacking.insert(key.clone());
        }
        match is_echoed {
            true if !inner.is_lossy && !is_first => return known,
            false if !is_newer(&mr, &known) => return mr,
            _ => {}
        }
        inner.take_in(key, Arc::clone(&mr), &self.class);
        mr
    }

    /// The server has refused a field of ours as unknown.
    pub fn set_lossy(&self) {
        self.lock().is_lossy = true;
    }

    /// Whether the server drops what is ours in an inventory.
    pub fn is_lossy(&self) -> bool {
        self.lock().is_lossy
    }

    /// Whether the CustomResourceDefinition of somebody else drops our fields, if that is news.
    pub fn lossy_news(&self) -> Option<bool> {
        let mut inner = self.lock();
        let is_news = inner.is_lossy != inner.is_lossy_told;
        inner.is_lossy_told = inner.is_lossy;
        is_news.then_some(inner.is_lossy)
    }

    /// All ManagedResources have been listed anew, as they are when their definition is replaced: whether fields are still
    /// dropped is tried with one of them.
    pub fn try_lossy(&self) {
        let mut inner = self.lock();
        if let Some(one) = inner.lacking.first().filter(|_| inner.is_lossy).cloned() {
            inner.rewrites.insert(one);
        }
    }

    /// ManagedResources whose status is to be written again although nothing has changed.
    pub fn rewrites(&self) -> Vec<NamespacedName> {
        self.lock().rewrites.iter().cloned().collect()
    }

    /// Whether the status of this one is to be written again.
    pub fn is_rewrite_due(&self, key: &NamespacedName) -> bool {
        self.lock().rewrites.contains(key)
    }

    /// It was written again.
    pub fn rewritten(&self, key: &NamespacedName) {
        self.lock().rewrites.remove(key);
    }
}

/// Resource versions of one kind are ordered numbers; another uid is another object.
fn is_newer(new: &ManagedResource, known: &ManagedResource) -> bool {
    let version =
        |mr: &ManagedResource| mr.metadata.resource_version.as_ref().and_then(|text| text.parse::<u64>().ok());
    match (version(new), version(known)) {
        (Some(new_version), Some(known_version)) if new.metadata.uid == known.metadata.uid => {
            new_version > known_version
        }
        _ => new.metadata.resource_version != known.metadata.resource_version,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{
        api::{Recorded, Repair, ResourceReference, Status, Version},
        digest::Digest,
        inventory::drift::State,
    };

    use super::*;

    fn mr(version: &str, source: Option<&str>) -> ManagedResource {
        let mut mr = ManagedResource::default();
        mr.metadata.namespace = Some("n".into());
        mr.metadata.name = Some("m".into());
        mr.metadata.resource_version = Some(version.into());
        mr.metadata.finalizers = Some(vec![holdfast_core::names::FINALIZER.into()]);
        // Without a source as somebody else's definition keeps it.
        let reference = ResourceReference { name: "a".into(), source: source.map(Into::into), ..Default::default() };
        mr.status = Some(Status { resources: vec![reference], ..Status::default() });
        mr
    }

    #[test]
    fn a_definition_that_drops_fields_is_noticed_in_either_order_and_not_forgotten() {
        for is_watch_first in [true, false] {
            let world = World::new("", Repair::Watch);
            assert!(world.upsert(ManagedResource { status: None, ..mr("1", None) }));
            if is_watch_first {
                assert!(world.upsert(mr("2", None)));
            }
            assert_eq!(*world.wrote(mr("2", Some("s/1"))), mr("2", Some("s/1")));
            if !is_watch_first {
                assert!(!world.upsert(mr("2", None)));
            }
            assert_eq!(world.mr(&mr("", None).key()).as_deref(), Some(&mr("2", Some("s/1"))), "the memory keeps them");
            // The server takes a write of what it does not keep for none, and answers with the same version.
            world.wrote(mr("2", Some("s/2")));
            assert_eq!(world.lossy_news(), Some(true), "our own words are no evidence");
            assert_eq!(world.lossy_news(), None, "it is said once");
            assert!(world.upsert(mr("3", None)));
            assert_eq!(world.mr(&mr("", None).key()).as_deref(), Some(&mr("3", Some("s/2"))), "put back");
            assert!(world.upsert(mr("4", Some("s/3"))));
            assert_eq!(world.lossy_news(), Some(false), "the server keeps them now");
        }
    }

    #[test]
    fn an_inventory_that_still_names_what_was_pruned_is_not_believed() {
        let digest = Digest::default();
        let mut before = mr("1", Some("s/1"));
        for reference in &mut before.status.as_mut().unwrap().resources {
            reference.state =
                Some(Recorded { uid: "u".into(), version: Version::Generation(1), manifest: digest, entry: digest });
        }
        let object = before.inventory()[0].object_key();
        let world = World::new("", Repair::Watch);
        world.upsert(before.clone());
        assert_eq!(world.state(&object, digest), State::InSync, "so a restart applies only what moved");
        world.cannot_plan(&before.key());
        world.forget(&object);
        before.metadata.resource_version = Some("2".into());
        world.wrote(before);
        assert_eq!(world.state(&object, digest), State::Outdated, "it is gone");
    }

    /// The watch may be quicker than the answer to the write that lets it go.
    #[test]
    fn what_is_gone_does_not_come_back_by_an_answer() {
        let world = World::new("", Repair::Watch);
        assert!(world.upsert(mr("1", Some("s"))));
        let key = mr("1", None).key();
        world.remove(&key);
        world.wrote(mr("2", Some("s")));
        assert!(world.mr(&key).is_none() && world.keys().is_empty());
    }

    #[test]
    fn what_a_definition_dropped_is_written_again_when_it_is_kept() {
        let world = World::new("", Repair::Watch);
        let named = |name: &str, version: &str, source: Option<&str>| {
            let mut mr = mr(version, source);
            mr.metadata.name = Some(name.into());
            mr
        };
        for name in ["a", "b"] {
            world.upsert(named(name, "1", Some("s/k")));
        }
        // Another definition: the same objects are listed without what it does not know.
        for name in ["a", "b"] {
            assert!(!world.upsert(named(name, "1", None)));
        }
        assert!(world.rewrites().is_empty());
        world.try_lossy();
        let (a, b) = (named("a", "", None).key(), named("b", "", None).key());
        assert!(world.rewrites() == std::slice::from_ref(&a), "one is tried");
        assert!(world.is_rewrite_due(&a) && !world.is_rewrite_due(&b));
        world.rewritten(&a);
        world.wrote(named("a", "2", Some("s/k")));
        assert!(!world.upsert(named("a", "2", None)));
        assert!(world.rewrites().is_empty(), "in vain, and not again");
        world.try_lossy();
        world.rewritten(&a);
        world.wrote(named("a", "3", Some("s/k")));
        assert!(!world.upsert(named("a", "3", Some("s/k"))));
        assert_eq!(world.rewrites(), [b], "it is kept now");
    }

    #[test]
    fn of_another_class_only_the_version_is_known() {
        let world = World::new("resources", Repair::Watch);
        let of_class = |version: &str, class: &str, is_held: bool| {
            let mut mr = mr(version, Some("s/k"));
            let state = "u g3 00112233445566778899aabbccddeeff ffeeddccbbaa99887766554433221100";
            mr.status.as_mut().unwrap().resources[0].state = holdfast_core::api::Recorded::parse(state);
            mr.spec.class = Some(class.to_owned());
            if !is_held {
                mr.metadata.finalizers = None;
            }
            mr
        };
        let key = mr("", None).key();
        assert!(!world.upsert(of_class("1", "seed", false)), "no concern of ours");
        assert!(world.mr(&key).unwrap().status.is_none() && world.kinds().is_empty());
        assert!(world.upsert(of_class("2", "", false)), "it becomes one");
        assert_eq!(world.mr(&key).unwrap().inventory()[0].state, None, "what others observed is not believed");
        assert!(world.upsert(of_class("3", "", true)), "our finalizer is on it");
        assert_eq!(world.mr(&key).unwrap().inventory()[0].state, None, "that makes nothing ours");
        assert!(world.upsert(of_class("4", "", true)), "the watch was quicker than the answer");
        world.wrote(of_class("4", "", true));
        assert!(world.mr(&key).unwrap().inventory()[0].state.is_some(), "we wrote it");
        assert!(world.upsert(of_class("5", "seed", true)), "it is to be let go");
        assert_eq!(world.kinds().len(), 1);
        assert!(world.is_everyone_planned(), "nobody waits for what goes");
        world.wrote(of_class("6", "seed", false));
        assert!(world.kinds().is_empty());
        assert!(!world.upsert(of_class("5", "seed", true)), "old news");
    }
}
