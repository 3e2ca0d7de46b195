//! Rules of what is deleted, and in which order.
use super::{Relation, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        rule: "What is not declared any more is deleted after the rest was applied, and what hangs on a finalizer holds up nothing else.",
        source: "§8.2, §8.3, §16.3",
        relation: Relation::Different,
        note: "the original deletes first and applies nothing until all is gone",
        tests: &[
            "lifecycle::stages::a_finalizer_holds_up_only_its_object",
            "faults::stuck_deletion::an_object_that_does_not_go_is_named_once",
        ],
    },
    Rule {
        rule: "Deleted is only what carries our marks, and only the object that was seen (by uid).",
        source: "§8.2, §16.17",
        relation: Relation::Fixed,
        note: "the original deletes by name",
        tests: &["lifecycle::ownership::an_object_that_is_dropped_first_and_declared_later_is_another_one"],
    },
    Rule {
        rule: "Deleting a ManagedResource deletes its objects by inventory, also without its Secrets, and then takes the finalizer off: webhook \
               configurations and admission policies first, then custom objects, their definitions and APIServices, workloads, what workloads \
               need, namespaces; each is gone before the next begins.",
        source: "§8.1, design §6",
        relation: Relation::Different,
        note: "the original deletes all at once, in no order",
        tests: &[
            "prune::deletion::objects_are_deleted_in_the_reverse_order",
            "prune::deletion_order::an_operator_outlives_its_objects_when_its_managed_resource_is_deleted",
            "lifecycle::stages::objects_follow_their_manifests_until_the_end",
            "lifecycle::stages::a_finalizer_holds_up_the_deletion_of_the_managed_resource",
        ],
    },
    Rule {
        rule: "With `spec.keepObjects` the objects stay as they are.",
        source: "§8.1",
        relation: Relation::Same,
        note: "",
        tests: &["lifecycle::stages::objects_to_be_kept_stay_and_belong_to_nobody"],
    },
    Rule {
        rule: "An object whose manifest says `mode: Ignore` is left to others: origin and description come off if they are of this ManagedResource, and so does our label; nothing else changes.",
        source: "§8.4",
        relation: Relation::Same,
        note: "",
        tests: &[
            "prune::change_of_owner::the_marks_of_a_released_object_come_off",
            "prune::change_of_owner::an_object_with_the_origin_of_another_is_dropped_and_not_touched",
            "lifecycle::ownership::an_ignored_object_is_released_and_not_deleted",
        ],
    },
    Rule {
        rule: "What one change drops goes at once, with this order: while others have to finish the deletion of something of it (their \
               finalizers tell, not those of Kubernetes itself), its definition or APIService waits, and so do the dropped workloads, accounts, \
               RBAC and Services, and the ConfigMaps, Secrets and claims that their pod templates name; Namespaces wait for what waits in \
               them. The condition names who waits for what. What was dropped earlier holds up nothing.",
        source: "§8.2",
        relation: Relation::Different,
        note: "the original deletes all at once, so an operator may be gone before the objects that only it can finish",
        tests: &[
            "prune::deletion_order::an_operator_that_is_dropped_outlives_what_it_has_to_finish",
            "prune::deletion_order::whatever_others_have_to_finish_goes_before_them",
            "prune::deletion_order::a_definition_that_serves_nothing_can_be_deleted",
            "prune::deletion_order::a_webhook_configuration_goes_before_its_service",
            "prune::deletion::pending_deletions_are_named_as_the_original_does",
        ],
    },
    Rule {
        rule: "A deletion that the server refuses is named, holds up nothing else and is tried again after a pause that grows to a minute.",
        source: "§8.3",
        relation: Relation::Different,
        note: "the original sends it every five seconds",
        tests: &["prune::deletion_order::a_refused_deletion_is_named_and_tried_ever_more_seldom"],
    },
    Rule {
        rule: "An object is gone only where the server says so: it does not find it where its kind is served; or no version of the kind is \
               served, no CustomResourceDefinition has it, and every API of its group answers. Until then its deletion is pending.",
        source: "§8.2",
        relation: Relation::Fixed,
        note: "to the original an unknown kind is gone, so its objects leak",
        tests: &[
            "prune::absent_kinds::a_group_that_does_not_answer_is_not_gone",
            "prune::absent_kinds::kinds_that_are_gone_from_a_living_group_hold_up_nothing",
            "prune::absent_kinds::without_rights_to_ask_nothing_is_said_to_be_gone",
        ],
    },
    Rule {
        rule: "An object in a version that is not served is known by the version that is. Of a kind that nobody serves, an object is what the \
               inventory has of that group, kind and name, in whatever namespace.",
        source: "§5.4",
        relation: Relation::Fixed,
        note: "the original guesses the namespace default, and deletes the cluster-scoped object",
        tests: &[
            "prune::absent_kinds::a_cluster_scoped_object_outlives_the_version_it_is_declared_in",
            "prune::absent_kinds::a_kind_may_go_and_come_back_in_either_scope",
            "prune::absent_kinds::what_is_released_while_its_kind_is_unknown_is_not_deleted",
        ],
    },
    Rule {
        rule: "Kinds that can only be created (reviews, bindings) are told at the door and named by the condition; they are not applied, and hold \
               up nothing.",
        source: "§7.1",
        relation: Relation::Different,
        note: "the original creates them in each pass and can never delete them",
        tests: &["prune::absent_kinds::kinds_that_can_only_be_created_are_named_and_hold_up_nothing"],
    },
    Rule {
        rule: "A ManagedResource that declares the Namespace it lives in is told so at the door, and does not wait for it: when only that \
               Namespace, or what is in it while it is being deleted, is left, the finalizer goes. So do two that declare each other's.",
        source: "§8.1",
        relation: Relation::Fixed,
        note: "with the original both wait for ever",
        tests: &[
            "prune::home_namespace::nobody_waits_for_his_own_home",
            "prune::home_namespace::two_that_declare_the_home_of_the_other_end_both",
            "prune::home_namespace::other_namespaces_are_waited_for",
        ],
    },
    Rule {
        rule: "The Namespaces default, kube-public, kube-system and kube-node-lease are never deleted: they are let go, with an Event.",
        source: "§8.2",
        relation: Relation::Fixed,
        note: "the original waits for default for ever, and deletes the leases of all nodes",
        tests: &["prune::home_namespace::namespaces_of_the_cluster_are_let_go_and_never_deleted"],
    },
];
