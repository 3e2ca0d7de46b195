//! Objects of which a write is due, until one has succeeded.
//!
//! Whatever a pass means to write is owed from then on, whether it gets that far or not. Only an accepted write pays. So what
//! failed is tried again whatever `repair` says, and success is said only where nothing is owed.

use holdfast_core::{
    inventory::plan::Plan,
    key::{NamespacedName, ObjectKey},
};

use super::{Inner, World};
use crate::desired::DesiredSet;

impl Inner {
    /// What a plan is about to write is owed, and so is what it would write if it were not in deletion or fought over.
    pub(super) fn owe_planned(&mut self, plan: &Plan, loaded: &DesiredSet, repair: bool) {
        let terminating = plan.terminating.iter().filter(|_| repair);
        for position in plan.apply.values().flatten().chain(&plan.contested).chain(terminating) {
            if let Some(object) = loaded.objects.get(*position) {
                self.objects.owe(&object.key);
            }
        }
    }
}

impl World {
    /// Somebody asks that everything of a ManagedResource be applied. That is not forgotten until it is planned.
    pub fn ask(&self, mr: &NamespacedName) {
        self.lock().asked.insert(mr.clone());
    }

    /// Whether somebody has asked for it.
    pub fn is_asked(&self, mr: &NamespacedName) -> bool {
        self.lock().asked.contains(mr)
    }

    /// Objects of a ManagedResource are to be applied, changed or not. What another one holds is its business.
    pub fn owe<'a>(&self, mr: &NamespacedName, objects: impl Iterator<Item = &'a ObjectKey>) {
        let mut inner = self.lock();
        for object in objects {
            if inner.index.owner_of(object).is_some_and(|owner| owner.key == *mr) {
                inner.objects.owe(object);
            }
        }
    }

    /// An object is about to be written.
    pub fn owe_one(&self, object: &ObjectKey) {
        self.lock().objects.owe(object);
    }

    /// Whether a write of an object is due.
    pub fn is_owed(&self, object: &ObjectKey) -> bool {
        self.lock().objects.is_owed(object)
    }

    /// Positions of declared objects whose last write did not succeed, or was of another manifest.
    pub fn unwritten(&self, loaded: &DesiredSet) -> Vec<usize> {
        let inner = self.lock();
        let declared = loaded.objects.iter().enumerate();
        let unwritten =
            declared.filter(|(position, object)| !inner.objects.is_written(&object.key, loaded.digest(*position)));
        unwritten.map(|(position, _)| position).collect()
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{
        api::ResourceReference,
        digest::Digest,
        field_ownership::preserve::Preserve,
        inventory::drift::{Applied, Live, Observed, State},
        manifest::annotations::Handling,
    };

    use super::super::objects::Objects;

    fn reference() -> ResourceReference {
        ResourceReference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: "n".into(),
            name: "a".into(),
            ..Default::default()
        }
    }

    fn seen(version: &str, deleting: bool) -> Observed {
        Observed {
            uid: "u".into(),
            entry: Some(one()),
            generation: None,
            resource_version: version.into(),
            deleting,
            kept: Some(false),
            finalized: false,
            foreign: false,
            preserve: Preserve::default(),
            managed_fields: vec![],
        }
    }

    fn one() -> Digest {
        Digest::parse("00112233445566778899aabbccddeeff").unwrap()
    }

    /// An object that was applied by this process, or by an earlier one.
    fn objects(is_own: bool) -> Objects {
        let applied = Applied { manifest: one(), handling: Handling::Reconcile, observed: seen("5", false) };
        let mut objects = Objects::default();
        if is_own {
            objects.applied(&reference().object_key(), applied);
        } else {
            let mut reference = reference();
            applied.remember(&mut reference);
            objects.recall(&reference);
        }
        objects
    }

    /// What is to be done with `repair: Resync`, apart from a sync.
    fn is_left(objects: &Objects) -> bool {
        let object = reference().object_key();
        match objects.state(&object, one()) {
            State::InSync => !objects.is_owed(&object),
            state @ (State::Drifted | State::Missing) => objects.may_wait(&object, state),
            _ => false,
        }
    }

    #[test]
    fn what_failed_is_due_until_a_write_succeeds() {
        let object = reference().object_key();
        let (gone, drifted) = (Live::Gone, Live::Present(seen("6", false)));
        for live in [Live::Unknown, gone, drifted] {
            let mut objects = objects(true);
            objects.observe(&object, live.clone(), Some("u"));
            assert!(is_left(&objects), "nothing is due: {live:?}");
            objects.owe(&object);
            for _ in 0..2 {
                // Tried in vain: without an answer, the write is over.
                objects.begin_writing(&object);
                objects.end_writing(&object);
                assert!(!is_left(&objects) && !objects.is_written(&object, one()), "{live:?}");
            }
            // What a watch says meanwhile pays nothing.
            objects.observe(&object, Live::Present(seen("7", false)), None);
            objects.observe(&object, Live::Gone, Some("u"));
            assert!(!is_left(&objects), "deleted while it was tried: {live:?}");
            let applied = Applied { manifest: one(), handling: Handling::Reconcile, observed: seen("9", false) };
            objects.begin_writing(&object);
            objects.applied(&object, applied);
            assert!(objects.is_written(&object, one()), "{live:?}");
            assert!(!objects.is_written(&object, Digest::default()), "another manifest");
        }
    }

    #[test]
    fn whoever_leads_next_knows_what_failed() {
        let object = reference().object_key();
        for (case, live, is_owed, is_left_then) in [
            ("all is well", Live::Unknown, false, true),
            ("tried in vain", Live::Unknown, true, false),
            ("changed by others, and left", Live::Present(seen("6", false)), false, true),
            ("changed by others, and tried in vain", Live::Present(seen("6", false)), true, false),
            ("gone, and tried in vain", Live::Gone, true, false),
        ] {
            let mut before = objects(true);
            before.observe(&object, live.clone(), Some("u"));
            if is_owed {
                before.owe(&object);
            }
            let mut inventory = [reference()];
            before.remember(&mut inventory);
            let mut next = Objects::default();
            next.recall(&inventory[0]);
            if matches!(live, Live::Present(_)) {
                next.observe(&object, live, None);
            }
            assert_eq!(is_left(&next), is_left_then, "{case}");
        }
    }

    #[test]
    fn what_is_gone_at_the_start_may_have_been_deleted_to_be_created_again() {
        let object = reference().object_key();
        for (case, is_own, before, is_left_then) in [
            ("by an earlier process", false, None, false),
            ("it was in deletion already", false, Some(seen("6", true)), false),
            ("by others, before our eyes", false, Some(seen("5", false)), true),
            ("by others, after our write", true, None, true),
        ] {
            let mut objects = objects(is_own);
            if let Some(before) = before {
                objects.observe(&object, Live::Present(before), None);
            }
            objects.observe(&object, Live::Gone, Some("u"));
            assert_eq!(objects.state(&object, one()), State::Missing);
            assert_eq!(is_left(&objects), is_left_then, "{case}");
        }
    }

    #[test]
    fn the_next_leader_does_not_write_to_what_is_being_deleted() {
        let object = reference().object_key();
        let mut before = objects(true);
        before.observe(&object, Live::Present(seen("6", true)), None);
        before.owe(&object);
        let mut inventory = [reference()];
        before.remember(&mut inventory);
        let mut next = Objects::default();
        next.recall(&inventory[0]);
        assert_eq!(next.state(&object, one()), State::InSync);
        next.observe(&object, Live::Present(seen("6", true)), None);
        assert_eq!(next.state(&object, one()), State::Terminating);
    }
}
