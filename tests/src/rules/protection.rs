//! Rules of the webhook: whose edits it refuses, undoes or warns about.
use super::Relation::Added;
use super::Rule;

/// What all of these have in common.
const NO_WEBHOOK: &str = "the original refuses nothing";

pub(super) const RULES: &[Rule] = &[
    // Whose edits.
    Rule {
        rule: "An edit of a managed object is refused, whoever makes it, cluster-admins and `system:masters` among them; nothing is stored.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::alice_may_not_change_a_managed_object",
            "protect::alice_may_not_change_a_managed_workload",
            "protect::the_highest_rank_does_not_help",
        ],
    },
    Rule {
        rule: "The control plane's own controllers, by name, nodes and our own service accounts are never refused; what they changed is put right.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "exempt::controllers_of_the_control_plane_are_not_refused",
            "exempt::the_garbage_collector_is_not_refused",
            "exempt::a_namespace_with_managed_objects_can_be_deleted",
        ],
    },
    Rule {
        rule: "Objects that workloads make of managed ones are not protected, whatever labels they inherited.",
        source: "design §2",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["exempt::children_of_managed_objects_are_nobodys_business"],
    },
    // Of what.
    Rule {
        rule: "Additions outside labels, annotations and finalizers are refused; with `spec.protection.scope: Declared` they pass.",
        source: "design §4",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["exact::additions_are_refused", "exact::declared_scope_leaves_additions_alone"],
    },
    Rule {
        rule: "Labels, annotations and finalizers of others come and go freely.",
        source: "design §4",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["marks::foreign_labels_and_annotations_are_welcome", "marks::foreign_finalizers_may_come_and_go"],
    },
    Rule {
        rule: "Status is free; metadata cannot be changed by way of it.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["marks::status_is_free_but_is_no_way_around"],
    },
    Rule {
        rule: "Deletions are refused, those of collections and with any propagation policy, too.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["protect::alice_may_not_delete_a_managed_object", "protect::alice_may_not_change_a_managed_workload"],
    },
    // Modes.
    Rule {
        rule: "With mode `Off` (in `spec.protection.mode` or the annotation `resources.gardener.cloud/protection`) edits pass and are undone.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::mode_off_in_the_spec_lets_edits_through_and_undoes_them",
            "protect::mode_off_in_the_annotation_lets_edits_through_and_undoes_them",
        ],
    },
];
