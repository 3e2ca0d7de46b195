//! Rules of pauses: who may break the glass, what happens meanwhile, what remains of it.
use super::{Relation, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        rule: "`spec.protection.pauses` pauses objects until a time, by group, kind, namespace and name (absent: any). Edits of them \
               pass, with a warning that says until when; everything else of the ManagedResource stays protected and held.",
        source: "design §7",
        relation: Relation::Added,
        note: "the original has the annotation `ignore` for a whole ManagedResource only, without an end",
        tests: &[
            "pause::objects::alice_pauses_edits_and_sees_her_edit_undone",
            "pause::objects::an_object_that_is_only_marked_is_no_repair",
        ],
    },
    Rule {
        rule: "A pause goes before the mode: what is paused is not put back by mode `Revert` either. With `protection.auditOnly` what is \
               paused passes as paused, and a pause that would be refused passes like everything else, and is told of.",
        source: "design §7",
        relation: Relation::Added,
        note: "such a pause may outlast the weeks of watching; it can be seen in the condition, the metric and the Event",
        tests: &[
            "protect::modes::a_pause_goes_before_the_mode",
            "protect::audit_only::while_we_only_watch_everything_passes_and_is_told_of",
        ],
    },
    Rule {
        rule: "While it lasts, nothing is written to a paused object but its protection label, which says `off`: no repair, no new \
               manifest, no creation, no deletion. The label is set by a JSON patch as `holdfast-pause`, guarded by the uid.",
        source: "design §7",
        relation: Relation::Added,
        note: "no apply, which would take back the edit that the pause is for",
        tests: &[
            "pause::objects::alice_pauses_edits_and_sees_her_edit_undone",
            "pause::objects::what_is_deleted_while_it_is_paused_comes_back",
            "faults::pauses::a_mark_is_one_label",
        ],
    },
    Rule {
        rule: "When a pause ends, by its time or because it is removed, what was changed is put right at once, also with \
               `repair: Resync`; what was deleted comes back, and what is not declared any more goes.",
        source: "design §7",
        relation: Relation::Added,
        note: "edits are refused from that moment on, before the label is back",
        tests: &[
            "pause::objects::alice_pauses_edits_and_sees_her_edit_undone",
            "pause::objects::what_is_deleted_while_it_is_paused_comes_back",
            "pause::objects::a_pause_ends_at_once_also_where_drift_waits_for_the_next_sync",
        ],
    },
    Rule {
        rule: "A restart of the controller neither ends a pause nor misses its beginning or its end.",
        source: "design §7",
        relation: Relation::Added,
        note: "the clock decides; one that is set is noticed within a minute",
        tests: &["faults::pauses::a_restart_neither_ends_a_pause_nor_misses_its_end"],
    },
    Rule {
        rule: "The annotation `resources.gardener.cloud/ignore` on a ManagedResource pauses all its objects without an end: edits pass \
               with a warning, and the protection labels say `off` meanwhile.",
        source: "§2.1, design §7",
        relation: Relation::Different,
        note: "the original writes nothing at all; ours writes this one label, for admission policies",
        tests: &[
            "pause::objects::the_annotation_marks_and_unmarks",
            "pause::managed_resources::a_paused_managed_resource_lets_go_and_takes_hold_again",
        ],
    },
    Rule {
        rule: "Beginning, prolonging or widening a pause, and setting `ignore`, needs the verb `override` on the ManagedResource, also at \
               its creation and where only metadata changes. Ending or shortening one needs nothing more than to write it.",
        source: "design §7",
        relation: Relation::Added,
        note: "asked by a SubjectAccessReview with all that is known of the user, for such requests only. Should that fail, the pause \
               is let through, and warning, Event, audit annotation and metric say that it was not checked",
        tests: &["pause::objects::bob_needs_the_verb_to_begin_a_pause"],
    },
    Rule {
        rule: "A pause that is longer than the maximum (`protection.maxPause`) or whose end cannot be read is refused; one that is over \
               already has no effect and is warned about. Without a webhook, one that cannot be read has no effect, and condition and Event name it.",
        source: "design §7",
        relation: Relation::Added,
        note: "the refusal names the maximum; a minute is granted to clocks",
        tests: &[
            "pause::objects::pauses_that_make_no_sense_are_refused",
            "faults::pauses::a_pause_that_cannot_be_read_has_no_effect_and_is_named",
        ],
    },
    Rule {
        rule: "Each pause leaves an Event on the ManagedResource (who, what, until when, why), audit annotations and a metric; not for dry \
               runs. Its end leaves an Event. `ResourcesApplied` stays `True`, and its message says what is paused until when.",
        source: "design §7",
        relation: Relation::Added,
        note: "edits of paused objects are marked in the audit log, too",
        tests: &[
            "pause::objects::alice_pauses_edits_and_sees_her_edit_undone",
            "pause::objects::a_pause_leaves_a_trace_in_the_audit_log",
            "pause::objects::pauses_that_make_no_sense_are_refused",
        ],
    },
    Rule {
        rule: "A refusal names a command that pauses the object for an hour, never cut: with names of hundreds of characters without the group, or `kubectl edit`.",
        source: "design §7",
        relation: Relation::Added,
        note: "ready to be pasted; it keeps other pauses that last",
        tests: &[
            "pause::objects::alice_pauses_edits_and_sees_her_edit_undone",
            "protect::edits::alice_may_not_change_a_managed_object",
        ],
    },
    Rule {
        rule: "A ManagedResource that another one declares can be paused by whoever has `override` on it: its pauses and its annotation \
               `ignore` are neither refused nor undone.",
        source: "design §7",
        relation: Relation::Added,
        note: "unless the manifest declares them itself",
        tests: &["pause::objects::a_managed_resource_of_a_managed_resource_can_be_paused"],
    },
    Rule {
        rule: "A pause does not hold up the deletion of its ManagedResource.",
        source: "§2.1",
        relation: Relation::Added,
        note: "as with the annotation `ignore`",
        tests: &["pause::objects::a_paused_managed_resource_can_be_deleted"],
    },
];
