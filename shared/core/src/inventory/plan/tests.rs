use serde_json::json;

use super::*;
use crate::{api::ManagedResource, key::Gvk, manifest::body::Body};

fn source(document: usize) -> Source {
    Source { secret: "s".into(), key: "k".into(), document, line: 1 }
}

fn desired(kind: &str, name: &str, document: usize) -> Arc<Desired> {
    let (api_version, group) = if kind == "Deployment" { ("apps/v1", "apps") } else { ("v1", "") };
    let key = ObjectKey::new(group, kind, "default", name);
    let object = json!({"kind": kind, "metadata": {"name": name}});
    Arc::new(Desired::new(key, Gvk::new(api_version, kind), &object, source(document), None))
}

fn reference(kind: &str, name: &str) -> ResourceReference {
    let api_version = if kind == "Deployment" { "apps/v1" } else { "v1" };
    ResourceReference {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: "default".into(),
        name: name.into(),
        source: Some("s/k".into()),
        ..Default::default()
    }
}

fn names(references: &[ResourceReference]) -> Vec<&str> {
    references.iter().map(|reference| reference.name.as_str()).collect()
}

fn mr_with(name: &str, objects: &[ResourceReference]) -> ManagedResource {
    serde_json::from_value(json!({"metadata": {"namespace": "n", "name": name}, "status": {"resources": objects}}))
        .unwrap()
}

fn run(inventory: &[ResourceReference], desired: &[Arc<Desired>], complete: bool, index: &Index, state: State) -> Plan {
    run_with(inventory, desired, complete, index, state, &Pauses::default())
}

fn run_with(
    inventory: &[ResourceReference],
    desired: &[Arc<Desired>],
    complete: bool,
    index: &Index,
    state: State,
    pauses: &Pauses,
) -> Plan {
    let mr = NamespacedName::new("n", "a");
    let pending = BTreeSet::from([desired_key("awaited")]);
    let refused = BTreeSet::from([Position::new(9)]);
    let released = BTreeSet::from([desired_key("released"), self::desired("Unknown", "released", 1).key.clone()]);
    let equivalences = Equivalences::of(&ManagedResource::default());
    let input = Input {
        mr: &mr,
        inventory,
        desired,
        complete,
        index,
        refused: &refused,
        pending_for_other_owners: &pending,
        released: &released,
        garbage_collector: true,
        pauses,
        equivalences: &equivalences,
        unknown: &BTreeSet::from([GroupKind { group: String::new(), kind: "Unknown".into() }]),
        change: "now",
    };
    plan(&input, |_, _| state)
}

fn desired_key(name: &str) -> ObjectKey {
    desired("ConfigMap", name, 1).key.clone()
}

#[test]
fn new_objects_are_in_the_inventory_before_they_are_applied() {
    let desired_keys = [desired("Deployment", "d", 1), desired("ConfigMap", "c", 2)];
    let plan = run(&[], &desired_keys, true, &Index::default(), State::Outdated);
    assert!(plan.write_ahead);
    assert_eq!(names(&plan.inventory), ["c", "d"], "sorted by group first");
    assert_eq!(
        plan.apply,
        BTreeMap::from([(Wave::Foundations, vec![Position::new(1)]), (Wave::Workloads, vec![Position::new(0)])])
    );
}

#[test]
fn in_sync_yields_no_action() {
    let plan =
        run(&[reference("ConfigMap", "c")], &[desired("ConfigMap", "c", 1)], true, &Index::default(), State::InSync);
    assert_eq!(plan, Plan { inventory: vec![reference("ConfigMap", "c")], ..Plan::default() });
}

#[test]
fn what_is_not_declared_any_more_is_pruned_unless_something_is_unreadable() {
    let old = [reference("ConfigMap", "c"), reference("ConfigMap", "gone")];
    let desired_keys = [desired("ConfigMap", "c", 1)];
    let plan = run(&old, &desired_keys, true, &Index::default(), State::InSync);
    assert_eq!(names(&plan.prune), ["gone"]);
    assert_eq!(names(&plan.inventory), ["c", "gone"], "until it is really gone");
    let plan = run(&old, &desired_keys, false, &Index::default(), State::InSync);
    assert_eq!((plan.prune.len(), plan.withheld), (0, 1));
}

#[test]
fn an_object_of_another_managed_resource_is_neither_taken_nor_deleted() {
    let mut index = Index::default();
    index.upsert(&mr_with("b", &[reference("ConfigMap", "theirs"), reference("ConfigMap", "moved")]));
    let plan =
        run(&[reference("ConfigMap", "moved")], &[desired("ConfigMap", "theirs", 1)], true, &index, State::Outdated);
    assert_eq!(plan.conflicts, [Conflict { position: Position::new(0), owner: NamespacedName::new("n", "b") }]);
    assert!(plan.apply.is_empty() && plan.prune.is_empty() && !plan.write_ahead);
    assert_eq!(names(&plan.handed_over), ["moved"]);
    assert_eq!(names(&plan.inventory), ["moved"], "the foreign object never enters it");
}

#[test]
fn what_another_one_waits_for_is_handed_over() {
    let plan = run(&[reference("ConfigMap", "awaited")], &[], true, &Index::default(), State::InSync);
    assert_eq!((names(&plan.handed_over), plan.prune.len()), (vec!["awaited"], 0));
}

#[test]
fn what_is_released_or_declared_as_another_kind_is_not_deleted() {
    for complete in [true, false] {
        let plan = run(&[reference("ConfigMap", "released")], &[], complete, &Index::default(), State::InSync);
        assert_eq!((names(&plan.released), plan.prune.len(), plan.withheld), (vec!["released"], 0, 0));
    }
    let old = ["d", "other"]
        .map(|name| ResourceReference { api_version: "extensions/v1beta1".into(), ..reference("Deployment", name) });
    let plan = run(&old, &[desired("Deployment", "d", 1)], true, &Index::default(), State::Outdated);
    assert_eq!((names(&plan.handed_over), names(&plan.prune)), (vec!["d"], vec!["other"]));
}

#[test]
fn dying_objects_are_left_alone() {
    let plan = run(
        &[reference("ConfigMap", "c")],
        &[desired("ConfigMap", "c", 1)],
        true,
        &Index::default(),
        State::Terminating,
    );
    assert!(plan.apply.is_empty());
    assert_eq!(plan.terminating, [Position::new(0)]);
}

#[test]
fn the_later_of_two_different_manifests_counts() {
    let mut changed = desired("ConfigMap", "c", 2);
    Arc::make_mut(&mut changed).body = Body::new(&json!({"data": {"x": "y"}}));
    let (retained, duplicates) =
        deduplicate(vec![desired("ConfigMap", "c", 1), desired("ConfigMap", "c", 1), changed.clone()]);
    assert_eq!(retained, [changed.clone()]);
    assert_eq!(duplicates, [Duplicate { key: changed.key.clone(), superseded: source(1), used: source(2) }]);
}

/// Nobody knows their scope, so the manifest stands for every inventory entry of that name.
#[test]
fn an_object_of_an_unknown_kind_is_what_the_inventory_has_of_its_name() {
    let in_place = |kind: &str, name: &str, namespace: &str| ResourceReference {
        namespace: namespace.into(),
        ..reference(kind, name)
    };
    for namespace in ["", "default", "elsewhere"] {
        let old = [in_place("Unknown", "z", namespace), in_place("Unknown", "released", namespace)];
        let plan = run(&old, &[desired("Unknown", "z", 1)], true, &Index::default(), State::Missing);
        assert!(plan.prune.is_empty() && plan.handed_over.is_empty(), "{namespace:?}: {plan:?}");
        assert_eq!(plan.released, old[1..], "{namespace:?}");
        assert!(plan.inventory.contains(&old[0]) || namespace == "default", "{namespace:?}: {plan:?}");
    }
    let claimants = [in_place("Unknown", "other", ""), in_place("ConfigMap", "z", "elsewhere")];
    let plan = run(
        &claimants,
        &[desired("Unknown", "z", 1), desired("ConfigMap", "z", 2)],
        true,
        &Index::default(),
        State::Missing,
    );
    assert_eq!(names(&plan.prune), ["other", "z"], "other names, and kinds that are known, are not meant");
}

#[test]
fn what_is_dropped_remembers_since_when() {
    let old = [
        reference("ConfigMap", "c"),
        ResourceReference { dropped: Some("then".into()), ..reference("ConfigMap", "d") },
    ];
    let plan = run(&old, &[], true, &Index::default(), State::InSync);
    let dropped = |references: &[ResourceReference]| -> Vec<String> {
        references.iter().map(|reference| reference.dropped.as_deref().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(dropped(&plan.prune), ["now", "then"]);
    assert_eq!(dropped(&plan.inventory), ["now", "then"], "and is written down");
    let again = [desired("ConfigMap", "c", 1), desired("ConfigMap", "d", 2)];
    let plan = run(&plan.inventory, &again, true, &Index::default(), State::InSync);
    assert_eq!(dropped(&plan.inventory), ["", ""], "it is declared again");
    let withheld = run(&[reference("ConfigMap", "c")], &[], false, &Index::default(), State::InSync);
    assert_eq!(dropped(&withheld.inventory), [""], "nobody knows yet");
}

#[test]
fn namespaces_of_the_cluster_are_spared() {
    let namespace = |name: &str| ResourceReference { namespace: String::new(), ..reference("Namespace", name) };
    let old = [namespace("kube-node-lease"), namespace("mine")];
    let plan = run(&old, &[], true, &Index::default(), State::InSync);
    assert_eq!((names(&plan.spared), names(&plan.prune)), (vec!["kube-node-lease"], vec!["mine"]));
    let plan = run(&old, &[], false, &Index::default(), State::InSync);
    assert_eq!((plan.spared.len(), plan.withheld), (0, 2), "nothing is let go while something cannot be read");
}

#[test]
fn what_is_not_taken_over_never_enters_the_inventory() {
    let desired_keys: Vec<_> = (0..10).map(|number| desired("ConfigMap", &format!("c{number}"), number)).collect();
    let owned = reference("ConfigMap", "c9");
    let plan = run(&[], &desired_keys, true, &Index::default(), State::Outdated);
    assert_eq!(plan.inventory.len(), 9);
    assert!(
        !names(&plan.inventory).contains(&"c9")
            && !plan.fresh.contains(&Position::new(9))
            && plan.fresh.contains(&Position::new(8))
    );
    let plan = run(&[owned], &desired_keys, true, &Index::default(), State::Contended);
    assert!(names(&plan.inventory).contains(&"c9"), "what is ours stays ours");
    assert_eq!((plan.contended.len(), plan.fresh.len(), plan.apply.len()), (10, 9, 0));
}

#[test]
fn what_is_released_is_neither_deleted_nor_held_back() {
    for complete in [true, false] {
        let inventory = [reference("ConfigMap", "released"), reference("ConfigMap", "kept")];
        let plan = run(&inventory, &[desired("ConfigMap", "kept", 1)], complete, &Index::default(), State::InSync);
        assert_eq!((names(&plan.released), plan.withheld), (vec!["released"], 0));
        assert!(plan.prune.is_empty() && plan.handed_over.is_empty());
        assert_eq!(names(&plan.inventory), ["kept", "released"], "until it is done");
    }
    let declared = [desired("ConfigMap", "released", 1)];
    let plan = run(&[reference("ConfigMap", "released")], &declared, true, &Index::default(), State::InSync);
    assert!(plan.released.is_empty(), "another manifest wants it");
}

#[test]
fn what_is_paused_is_left_as_it_is() {
    let mr: ManagedResource = serde_json::from_value(json!({"spec": {"secretRefs": [], "protection": {"pauses": [
        {"kind": "ConfigMap", "until": "2100-01-01T00:00:00Z"}
    ]}}}))
    .unwrap();
    let pauses = Pauses::of(&mr);
    let inventory =
        [reference("ConfigMap", "held"), reference("ConfigMap", "gone"), reference("ConfigMap", "released")];
    let desired_keys = [desired("ConfigMap", "held", 1), desired("ConfigMap", "new", 2), desired("Deployment", "d", 3)];
    let plan = run_with(&inventory, &desired_keys, true, &Index::default(), State::Outdated, &pauses);
    assert_eq!(plan.apply, BTreeMap::from([(Wave::Workloads, vec![Position::new(2)])]), "its siblings are held");
    assert_eq!(names(&plan.inventory), ["gone", "held", "released", "d"], "nothing is claimed or dropped");
    assert!(plan.prune.is_empty() && plan.released.is_empty() && plan.handed_over.is_empty());
    assert_eq!(plan.paused.len(), 3, "{:?}", plan.paused);
    assert!(plan.paused[1].starts_with("2 objects wait") && plan.paused[2].starts_with("2 objects that"));
    let plan = run_with(&inventory[..1], &desired_keys[..1], true, &Index::default(), State::Drifted, &pauses);
    assert_eq!((plan.apply.len(), plan.paused.len()), (0, 1), "changes by others are what a pause is for");
}

#[test]
fn what_a_garbage_collector_deletes_is_dropped_and_nothing_else() {
    let labelled = |kind: &str, name: &str| {
        let labels = BTreeMap::from([(crate::names::LABEL_COLLECTABLE.to_owned(), "true".to_owned())]);
        ResourceReference { labels: labels.into(), ..reference(kind, name) }
    };
    let inventory = [
        labelled("ConfigMap", "collected"),
        labelled("ConfigMap", "released"),
        labelled("ConfigMap", "awaited"),
        labelled("Deployment", "workload"),
        reference("ConfigMap", "plain"),
    ];
    let plan = run(&inventory, &[], true, &Index::default(), State::InSync);
    assert_eq!(names(&plan.collectable), ["collected"]);
    assert_eq!((names(&plan.released), names(&plan.handed_over)), (vec!["released"], vec!["awaited"]));
    assert_eq!(names(&plan.prune), ["workload", "plain"]);
    assert!(names(&plan.inventory).contains(&"collected"), "until it is done");
    let plan = run(&inventory, &[], false, &Index::default(), State::InSync);
    assert_eq!((plan.collectable.len(), plan.withheld), (0, 4), "it may still be wanted");
    let declared = [desired("ConfigMap", "collected", 1)];
    let plan = run(&inventory, &declared, true, &Index::default(), State::InSync);
    assert!(plan.collectable.is_empty(), "it is wanted");
}

#[test]
fn a_plan_is_news_unless_the_status_says_the_same() {
    use crate::api::StatusPhase;

    let owned = [reference("ConfigMap", "a"), reference("ConfigMap", "b")];
    let plan = Plan { inventory: owned.to_vec(), ..Plan::default() };
    let prune = Plan { prune: vec![reference("ConfigMap", "c")], ..plan.clone() };
    let status = |resources: &[ResourceReference]| Status {
        resources: resources.to_vec(),
        secrets_data_checksum: Some("1".to_owned()),
        ..Status::default()
    };
    let relabelled = ResourceReference {
        labels: BTreeMap::from([("l".to_owned(), "v".to_owned())]).into(),
        ..reference("ConfigMap", "b")
    };
    for (case, plan, status, expected) in [
        ("the first pass", &plan, None, true),
        ("the same", &plan, Some(status(&owned)), false),
        ("an object is new", &plan, Some(status(&owned[..1])), true),
        ("its labels are", &plan, Some(status(&[owned[0].clone(), relabelled])), true),
        ("something is deleted", &prune, Some(status(&owned)), true),
        ("the Secrets changed", &plan, Some(Status { secrets_data_checksum: None, ..status(&owned) }), true),
        ("it was ignored", &plan, Some(Status { phase: Some(StatusPhase::Ignored), ..status(&owned) }), true),
        ("it was let go", &plan, Some(Status { phase: Some(StatusPhase::Deleting), ..status(&owned) }), true),
    ] {
        assert_eq!(plan.is_news(status.as_ref(), "1"), expected, "{case}");
    }
}

#[test]
fn changes_and_ends_of_pauses_repair_even_where_repairs_wait_for_the_next_sync() {
    let mr = |generation: i64, status: Option<(&str, i64)>| {
        let mut mr = mr_with("a", &[]);
        mr.metadata.generation = Some(generation);
        mr.status = status.map(|(checksum, observed)| Status {
            secrets_data_checksum: Some(checksum.to_owned()),
            observed_generation: Some(observed),
            ..Status::default()
        });
        mr
    };
    let applied = mr(2, Some(("now", 2)));
    for (case, mr, repair, is_any_pause_over, expected) in [
        ("nothing has changed", &applied, Repair::Resync, false, false),
        ("repairs are made at once", &applied, Repair::Watch, false, true),
        ("a pause is over", &applied, Repair::Resync, true, true),
        ("the Secrets have changed", &mr(2, Some(("before", 2))), Repair::Resync, false, true),
        ("the ManagedResource has changed", &mr(3, Some(("now", 2))), Repair::Resync, false, true),
        ("nothing was applied yet", &mr(1, None), Repair::Resync, false, true),
    ] {
        assert_eq!(is_repairing(mr, "now", repair, is_any_pause_over), expected, "{case}");
    }
}

#[test]
fn an_inventory_loses_what_is_gone_and_forgets_deletions_that_have_not_begun() {
    let dropped = ResourceReference { dropped: Some("now".into()), ..reference("ConfigMap", "dropped") };
    let plan = Plan { inventory: vec![reference("ConfigMap", "kept"), dropped.clone()], ..Plan::default() };
    let gone = BTreeSet::from([dropped.object_key()]);
    assert_eq!(inventory_after(&plan, &gone, true), [reference("ConfigMap", "kept")]);
    assert_eq!(inventory_after(&plan, &BTreeSet::new(), true), plan.inventory);
    let later = inventory_after(&plan, &BTreeSet::new(), false);
    assert_eq!(later, [reference("ConfigMap", "kept"), reference("ConfigMap", "dropped")]);
}
