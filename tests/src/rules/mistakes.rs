//! Rules of what is wrong or strange: settings, sizes, other definitions, the way from the original and back.
use super::Relation::{Added, Different, Same};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    // Bad input.
    Rule {
        rule: "An annotation with an unknown value, a duration that cannot be read, an equivalence with a kind that is not served: named by Event and condition, and without effect.",
        source: "§2",
        relation: Added,
        note: "the original says nothing, or fails when it is too late",
        tests: &["lifecycle::invalid_settings::mistakes_without_effect_are_named_and_do_no_harm"],
    },
    Rule {
        rule: "`spec.injectLabels` that no object could have are refused by the webhook, and by the controller before it does anything.",
        source: "§7.2",
        relation: Different,
        note: "the original fails at the first object",
        tests: &[
            "lifecycle::invalid_settings::labels_that_no_object_could_have_change_nothing",
            "lifecycle::invalid_settings::labels_that_no_object_could_have_are_refused",
        ],
    },
    Rule {
        rule: "More objects than the status can hold (1 MiB) are refused with the number that fits; nothing is applied, pruned or half-done.",
        source: "design §6",
        relation: Added,
        note: "the original applies them and fails to write its status",
        tests: &["lifecycle::invalid_settings::more_objects_than_the_status_can_hold_are_refused"],
    },
    Rule {
        rule: "A Secret that may not be read is said (`CannotReadSecret`), and tried again.",
        source: "§5.1",
        relation: Same,
        note: "",
        tests: &["lifecycle::invalid_settings::a_secret_that_may_not_be_read_is_named"],
    },
    Rule {
        rule: "A Secret that the server fails to give out again and again while it answers other requests is said (`CannotReadSecret`) after some seconds, and tried again. No other ManagedResource waits for it. Where nothing is answered, that is an outage, and nothing is pruned.",
        source: "§5.1",
        relation: Different,
        note: "the original says it at the first failure, whatever fails",
        tests: &[
            "faults::unreadable_secrets::a_secret_that_cannot_be_given_out_does_not_stop_others",
            "faults::unreadable_secrets::a_secret_that_is_not_answered_does_not_stop_others",
            "faults::unreadable_secrets::a_secret_of_which_there_is_too_much_does_not_stop_others",
            "faults::unreadable_secrets::an_outage_is_nobodys_lost_secret",
        ],
    },
    // Migration.
    Rule {
        rule: "What the original holds is taken over in place while it is stopped: finalizer, lease, origin, labels and status stay, no object is deleted, no pod is restarted.",
        source: "design §4, §6",
        relation: Added,
        note: "there is nobody before the original",
        tests: &["install::migration::there_and_back_again", "apply::adoption::what_the_go_original_manages"],
    },
    Rule {
        rule: "It is given back the same way.",
        source: "design §6",
        relation: Added,
        note: "there is nobody before the original",
        tests: &["install::migration::there_and_back_again"],
    },
    Rule {
        rule: "Labels and annotations that the original set are ours after the take-over: they vanish with their manifests.",
        source: "§7.3",
        relation: Same,
        note: "",
        tests: &["install::migration::there_and_back_again"],
    },
    Rule {
        rule: "A definition of ManagedResource without our fields, before the start or while we run, is lived with and said once; when ours is back, what was dropped is written again.",
        source: "design §6",
        relation: Added,
        note: "the fields are ours",
        tests: &[
            "faults::settings::somebody_elses_definition_is_lived_with",
            "install::definition_swaps::definitions_may_change_while_it_runs",
        ],
    },
    Rule {
        rule: "A ManagedResource from which a client drops `spec.protection` is one without; the annotation stays, and wins.",
        source: "design §7",
        relation: Added,
        note: "the field is ours",
        tests: &["install::definition_swaps::a_client_that_knows_no_protection_drops_it_once"],
    },
];
