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
            "protect::edits::alice_may_not_change_a_managed_object",
            "protect::edits::alice_may_not_change_a_managed_workload",
            "protect::edits::the_highest_rank_does_not_help",
        ],
    },
    Rule {
        rule: "The control plane's own controllers, by name, nodes and our own service accounts are never refused; what they changed is put right.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::exemptions::controllers_of_the_control_plane_are_not_refused",
            "protect::exemptions::the_garbage_collector_is_not_refused",
            "protect::exemptions::a_namespace_with_managed_objects_can_be_deleted",
        ],
    },
    Rule {
        rule: "Objects that workloads make of managed ones are not protected, whatever labels they inherited.",
        source: "design §2",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["protect::exemptions::children_of_managed_objects_are_nobodys_business"],
    },
    // Of what.
    Rule {
        rule: "An update of nothing but labels and annotations that no manifest declares passes without a call of the webhook, unless those \
               of others are removed. Whatever else it changes has it judged as a whole.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::subresources::what_is_nobodys_business_is_not_called_out",
            "protect::match_conditions::what_rides_on_free_metadata_is_refused_all_the_same",
        ],
    },
    Rule {
        rule: "Additions outside labels, annotations and finalizers are refused; with `spec.protection.scope: Declared` they pass.",
        source: "design §4",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "drift::exact_scope::additions_are_refused",
            "drift::exact_scope::declared_scope_leaves_additions_alone",
        ],
    },
    Rule {
        rule: "Declared elements of a list stay in the manifest's order; others may stand between them where additions pass.",
        source: "design §4",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["apply::list_order::declared_elements_stay_in_order_in_either_scope"],
    },
    Rule {
        rule: "An edit of content in the manifest's version is refused if, and only if, the controller would undo it; in mode Revert it leaves the object as it was.",
        source: "design §7",
        relation: Added,
        note: "the original refuses nothing; two exceptions, where the server itself keeps what was edited, stand in the test",
        tests: &[
            "property::an_edit_is_refused_if_and_only_if_it_would_be_undone",
            "protect::revert::random_edits_leave_objects_identical",
        ],
    },
    Rule {
        rule: "Labels, annotations and finalizers of others come and go freely.",
        source: "design §4",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::metadata::foreign_labels_and_annotations_are_welcome",
            "protect::metadata::foreign_finalizers_may_come_and_go",
        ],
    },
    Rule {
        rule: "Status is free; metadata cannot be changed by way of it.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["protect::metadata::status_is_free_but_is_no_way_around"],
    },
    Rule {
        rule: "Deletions are refused, those of collections and with any propagation policy, too.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::edits::alice_may_not_delete_a_managed_object",
            "protect::edits::alice_may_not_change_a_managed_workload",
        ],
    },
    // Modes.
    Rule {
        rule: "The mode of a ManagedResource is the annotation `resources.gardener.cloud/protection` (in any case), else `spec.protection.mode`, else the cluster's default; an unknown value of the annotation counts as the default, with a condition text, an Event and a warning. A change takes effect without a restart.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::modes::modes_change_without_a_restart",
            "protect::modes::an_unknown_mode_counts_as_the_default_and_is_named",
        ],
    },
    Rule {
        rule: "The label `resources.gardener.cloud/protection` of an object says its mode; only those that say `revert` reach the mutating webhook, those that say `off` none.",
        source: "design §2",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["protect::modes::modes_change_without_a_restart"],
    },
    Rule {
        rule: "With mode `Off` edits pass in silence and are undone.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::modes::mode_off_lets_every_edit_through_in_silence",
            "protect::edits::mode_off_in_the_spec_lets_edits_through_and_undoes_them",
            "protect::edits::mode_off_in_the_annotation_lets_edits_through_and_undoes_them",
        ],
    },
    Rule {
        rule: "With mode `Warn` edits and deletions pass with a warning that names the fields, the ManagedResource, and when they are undone.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["protect::modes::mode_warn_lets_edits_through_and_tells_of_them"],
    },
    Rule {
        rule: "With mode `Revert` an edit that concerns only what is protected leaves the object identical, `resourceVersion` and `managedFields` among it, and a warning says what was put back.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::modes::mode_revert_leaves_the_object_identical",
            "protect::revert::random_edits_leave_objects_identical",
            "protect::revert::forged_ownership_and_marks_are_put_back",
            "protect::revert::edits_through_another_version_and_of_custom_resources_are_put_back",
        ],
    },
    Rule {
        rule: "The allowed part of such an edit is kept, and owned by whoever made it: a foreign label beside `spec.replicas`, in scope `Declared` also a field that no manifest sets.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::revert::the_allowed_part_of_an_edit_is_kept_and_owned_by_who_made_it",
            "protect::revert::in_declared_scope_additions_of_others_are_kept",
        ],
    },
    Rule {
        rule: "What mode `Revert` cannot put back is refused: deletions, `kubectl scale`, what another mutating webhook changes afterwards, and everything while the mutating webhook is not called.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::modes::mode_revert_leaves_the_object_identical",
            "protect::mutating_webhooks::what_another_webhook_changes_afterwards_is_put_back_or_refused",
            "protect::audit_only::while_we_only_watch_everything_passes_and_is_told_of",
        ],
    },
    Rule {
        rule: "With `protection.auditOnly` nothing is refused or put back; what would be refused passes with a warning, an Event `WouldDeny` on the ManagedResource (none for a dry run), an audit annotation and a metric. Pauses are granted and refused as ever.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["protect::audit_only::while_we_only_watch_everything_passes_and_is_told_of"],
    },
    // What people are told.
    Rule {
        rule: "A refusal is `Forbidden` (403) and names the object, the fields, the ManagedResource, the Secret to change, whom to ask (annotation `resources.gardener.cloud/owner-contact`) and how to pause, in less than 1,024 characters.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "protect::modes::people_are_told_whom_to_ask",
            "protect::edits::alice_may_not_change_a_managed_object",
        ],
    },
    Rule {
        rule: "The API server's audit log has the ManagedResource, its mode, the decision and the fields of whatever is refused, put back or warned about.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["protect::modes::the_audit_log_has_what_was_decided_in_every_mode"],
    },
];
