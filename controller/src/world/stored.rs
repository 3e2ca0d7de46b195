//! What is known of the ManagedResources themselves: as the server tells them, and as we wrote them.

use std::sync::Arc;

use holdfast_core::{api::ManagedResource, key::NamespacedName};

use super::{Inner, World};
use crate::lossy;

impl Inner {
    fn take_in(&mut self, key: NamespacedName, mr: Arc<ManagedResource>) {
        self.index.upsert(&mr);
        mr.inventory().iter().for_each(|reference| self.objects.recall(reference));
        self.mrs.insert(key, mr);
    }
}

impl World {
    /// Takes in a ManagedResource as the server tells it; false when it is not newer than what is known, such as the echo of
    /// our own write.
    pub fn upsert(&self, mut mr: ManagedResource) -> bool {
        let key = mr.key();
        let mut inner = self.lock();
        // Fields of ours that the server tells of are kept by it. Only it can say so: what we wrote is no evidence.
        if lossy::has_fields(mr.inventory()) {
            inner.is_lossy = false;
        }
        if let Some(known) = inner.mrs.get(&key).cloned() {
            let is_echo = known.metadata.resource_version == mr.metadata.resource_version;
            if is_echo && lossy::is_lossy(known.inventory(), mr.inventory()) {
                inner.is_lossy = true;
            }
            if !is_newer(&mr, &known) {
                return false;
            }
            if inner.is_lossy {
                lossy::restore(&mut mr, known.inventory());
            }
        }
        inner.take_in(key, Arc::new(mr));
        true
    }

    /// Takes in a ManagedResource as we wrote it and the server acknowledged it. Returns it.
    pub fn wrote(&self, mr: ManagedResource) -> Arc<ManagedResource> {
        let (key, mr) = (mr.key(), Arc::new(mr));
        let mut inner = self.lock();
        if let Some(known) = inner.mrs.get(&key).cloned() {
            let is_echoed = known.metadata.resource_version == mr.metadata.resource_version;
            // The watch was quicker than the answer, and did not have what was written.
            if is_echoed && lossy::is_lossy(mr.inventory(), known.inventory()) {
                inner.is_lossy = true;
            }
            match is_echoed {
                true if !inner.is_lossy => return known,
                false if !is_newer(&mr, &known) => return mr,
                _ => {}
            }
        }
        inner.take_in(key, Arc::clone(&mr));
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
    use holdfast_core::api::{Repair, ResourceReference, Status};

    use super::*;

    fn mr(version: &str, source: Option<&str>) -> ManagedResource {
        let mut mr = ManagedResource::default();
        mr.metadata.namespace = Some("n".into());
        mr.metadata.name = Some("m".into());
        mr.metadata.resource_version = Some(version.into());
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
}
