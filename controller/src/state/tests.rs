use holdfast_core::{
    api::{ManagedResource, Recorded, Repair, ResourceReference, Status, Version},
    digest::Digest,
    inventory::drift::State,
};

use super::*;

fn stored(version: &str, source: Option<&str>) -> ManagedResource {
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
        let state = ClusterState::new("", Repair::Watch);
        assert!(state.upsert(ManagedResource { status: None, ..stored("1", None) }));
        if is_watch_first {
            assert!(state.upsert(stored("2", None)));
        }
        assert_eq!(*state.wrote(stored("2", Some("s/1"))), stored("2", Some("s/1")));
        if !is_watch_first {
            assert!(!state.upsert(stored("2", None)));
        }
        assert_eq!(
            state.managed_resources.get(&stored("", None).key()).as_deref(),
            Some(&stored("2", Some("s/1"))),
            "the memory keeps them"
        );
        // The server takes a write of what it does not keep for none, and answers with the same version.
        state.wrote(stored("2", Some("s/2")));
        assert_eq!(state.foreign_crd.take_news(), Some(true), "our own words are no evidence");
        assert_eq!(state.foreign_crd.take_news(), None, "it is said once");
        assert!(state.upsert(stored("3", None)));
        assert_eq!(
            state.managed_resources.get(&stored("", None).key()).as_deref(),
            Some(&stored("3", Some("s/2"))),
            "put back"
        );
        assert!(state.upsert(stored("4", Some("s/3"))));
        assert_eq!(state.foreign_crd.take_news(), Some(false), "the server keeps them now");
    }
}

#[test]
fn an_inventory_that_still_names_what_was_pruned_is_not_believed() {
    let digest = Digest::default();
    let mut before = stored("1", Some("s/1"));
    for reference in &mut before.status.as_mut().unwrap().resources {
        reference.state =
            Some(Recorded { uid: "u".into(), version: Version::Generation(1), manifest: digest, entry: digest });
    }
    let object = before.inventory()[0].object_key();
    let state = ClusterState::new("", Repair::Watch);
    state.upsert(before.clone());
    assert_eq!(state.objects.state(&object, digest), State::InSync, "so a restart applies only what moved");
    state.managed_resources.set_unplannable(&before.key());
    state.forget_object(&object);
    before.metadata.resource_version = Some("2".into());
    state.wrote(before);
    assert_eq!(state.objects.state(&object, digest), State::Outdated, "it is gone");
}

/// The watch may be quicker than the answer to the write that lets it go.
#[test]
fn what_is_gone_does_not_come_back_by_an_answer() {
    let state = ClusterState::new("", Repair::Watch);
    assert!(state.upsert(stored("1", Some("s"))));
    let key = stored("1", None).key();
    state.remove(&key);
    state.wrote(stored("2", Some("s")));
    assert!(state.managed_resources.get(&key).is_none() && state.managed_resources.keys().is_empty());
}

#[test]
fn what_a_definition_dropped_is_written_again_when_it_is_kept() {
    let state = ClusterState::new("", Repair::Watch);
    let named = |name: &str, version: &str, source: Option<&str>| {
        let mut mr = stored(version, source);
        mr.metadata.name = Some(name.into());
        mr
    };
    for name in ["a", "b"] {
        state.upsert(named(name, "1", Some("s/k")));
    }
    // Another definition: the same objects are listed without what it does not know.
    for name in ["a", "b"] {
        assert!(!state.upsert(named(name, "1", None)));
    }
    assert!(state.foreign_crd.pending_rewrites().is_empty());
    state.foreign_crd.probe();
    let (a, b) = (named("a", "", None).key(), named("b", "", None).key());
    assert!(state.foreign_crd.pending_rewrites() == std::slice::from_ref(&a), "one is tried");
    assert!(state.foreign_crd.is_rewrite_due(&a) && !state.foreign_crd.is_rewrite_due(&b));
    state.foreign_crd.set_rewritten(&a);
    state.wrote(named("a", "2", Some("s/k")));
    assert!(!state.upsert(named("a", "2", None)));
    assert!(state.foreign_crd.pending_rewrites().is_empty(), "in vain, and not again");
    state.foreign_crd.probe();
    state.foreign_crd.set_rewritten(&a);
    state.wrote(named("a", "3", Some("s/k")));
    assert!(!state.upsert(named("a", "3", Some("s/k"))));
    assert_eq!(state.foreign_crd.pending_rewrites(), [b], "it is kept now");
}

#[test]
fn of_another_class_only_the_version_is_known() {
    let state = ClusterState::new("resources", Repair::Watch);
    let of_class = |version: &str, class: &str, has_finalizer: bool| {
        let mut mr = stored(version, Some("s/k"));
        let recorded = "u g3 00112233445566778899aabbccddeeff ffeeddccbbaa99887766554433221100";
        mr.status.as_mut().unwrap().resources[0].state = holdfast_core::api::Recorded::parse(recorded);
        mr.spec.class = Some(class.to_owned());
        if !has_finalizer {
            mr.metadata.finalizers = None;
        }
        mr
    };
    let key = stored("", None).key();
    assert!(!state.upsert(of_class("1", "seed", false)), "no concern of ours");
    assert!(state.managed_resources.get(&key).unwrap().status.is_none() && state.managed_resources.kinds().is_empty());
    assert!(state.upsert(of_class("2", "", false)), "it becomes one");
    assert_eq!(
        state.managed_resources.get(&key).unwrap().inventory()[0].state,
        None,
        "what others observed is not believed"
    );
    assert!(state.upsert(of_class("3", "", true)), "our finalizer is on it");
    assert_eq!(state.managed_resources.get(&key).unwrap().inventory()[0].state, None, "that makes nothing ours");
    assert!(state.upsert(of_class("4", "", true)), "the watch was quicker than the answer");
    state.wrote(of_class("4", "", true));
    assert!(state.managed_resources.get(&key).unwrap().inventory()[0].state.is_some(), "we wrote it");
    assert!(state.upsert(of_class("5", "seed", true)), "it is to be let go");
    assert_eq!(state.managed_resources.kinds().len(), 1);
    assert!(state.managed_resources.are_all_planned(), "nobody waits for what goes");
    state.wrote(of_class("6", "seed", false));
    assert!(state.managed_resources.kinds().is_empty());
    assert!(!state.upsert(of_class("5", "seed", true)), "old news");
}
