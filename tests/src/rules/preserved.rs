//! Rules of fields that are set at creation and then left to others.
use super::{Relation, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        rule: "Replicas of a Deployment or StatefulSet (`apps`, `extensions`) with the annotation \
               `resources.gardener.cloud/preserve-replicas: \"true\"` in its manifest stay as they are; a new object gets those of the manifest.",
        source: "§7.4",
        relation: Relation::Fixed,
        note: "the number is never read and sent back, so nobody's change is lost; another number in the Secret causes no \
               write; users may scale the object, every other field stays refused",
        tests: &[
            "apply::preserve::replicas_are_left_where_the_manifest_says_so",
            "apply::preserve::other_fields_are_put_right_around_it",
            "apply::preserve::replicas_are_left_in_what_cannot_be_applied",
        ],
    },
    Rule {
        rule: "The annotation may come and go: when it comes, the live number stays, also if the manifest names another one at the \
               same moment; when it goes, that of the manifest is applied, and none is seen between.",
        source: "§7.4",
        relation: Relation::Same,
        note: "",
        tests: &[
            "apply::preserve::the_annotation_comes_and_goes",
            "faults::preserve::a_crash_in_the_middle_of_a_release",
        ],
    },
    Rule {
        rule: "An object that exists before it is declared keeps its replicas where they are left alone.",
        source: "§7.4",
        relation: Relation::Same,
        note: "",
        tests: &["apply::preserve::what_exists_already_keeps_its_replicas"],
    },
    Rule {
        rule: "Replicas that no manifest declares stay as they are, also when the manifest has just dropped them.",
        source: "§7.4",
        relation: Relation::Same,
        note: "",
        tests: &["apply::preserve::replicas_that_nobody_declares_are_left"],
    },
    Rule {
        rule: "Replicas of a Deployment or StatefulSet stay as they are while a HorizontalPodAutoscaler of the target scales it, \
               whoever declared that.",
        source: "§7.4",
        relation: Relation::Different,
        note: "a watch tells at once when one comes; one that goes counts for another 15 seconds, so that replacing it does not make the \
               number jump. It is watched only while a workload depends on it",
        tests: &[
            "apply::autoscalers::an_autoscaler_comes_and_goes_and_replicas_never_jump",
            "apply::autoscalers::an_autoscaler_of_the_same_secret",
            "faults::preserve::autoscalers_are_not_watched_without_need",
        ],
    },
    Rule {
        rule: "A HorizontalPodAutoscaler whose target cannot be read, or is of another kind, is passed over.",
        source: "§7.4, §16 (12)",
        relation: Relation::Fixed,
        note: "in the original an unreadable one stops every ManagedResource",
        tests: &["apply::autoscalers::bad_autoscalers_are_passed_over"],
    },
    Rule {
        rule: "While HorizontalPodAutoscalers cannot be listed, workloads whose replicas depend on it are not written, and the condition says so.",
        source: "§7.4",
        relation: Relation::Fixed,
        note: "everything else goes on; the original gives up the whole pass",
        tests: &["faults::preserve::autoscalers_that_cannot_be_read"],
    },
    Rule {
        rule: "With the annotation `resources.gardener.cloud/preserve-resources: \"true\"`, requests and limits of cpu and memory in \
               the containers (not the init containers) of a Deployment, StatefulSet, DaemonSet, Job or CronJob stay as they are. \
               What is not there is set: new containers, new limits, those that somebody removed.",
        source: "§7.4",
        relation: Relation::Fixed,
        note: "users may change them, everything else stays refused; not in manifests that the server refuses to apply",
        tests: &[
            "apply::preserve::templates::requests_and_limits_are_left_where_the_manifest_says_so",
            "apply::preserve::templates::requests_are_left_in_every_kind_that_is_meant",
        ],
    },
    Rule {
        rule: "The annotation `kubectl.kubernetes.io/restartedAt` in pod templates stays, also where the manifest has another one or none.",
        source: "§7.4",
        relation: Relation::Same,
        note: "",
        tests: &["apply::preserve::templates::a_restart_of_pods_is_allowed_and_not_undone"],
    },
    Rule {
        rule: "Claim templates of a StatefulSet stay as it was created with.",
        source: "§7.4",
        relation: Relation::Same,
        note: "",
        tests: &["apply::preserve::templates::claim_templates_stay_as_they_were_created"],
    },
    Rule {
        rule: "What kube-controller-manager writes into a declared Secret of type `kubernetes.io/service-account-token` stays: `token`, `ca.crt`, `namespace` and its \
               annotation. Edits of the same keys by anybody else are refused and put right; what the manifest declares of them is applied.",
        source: "§7.3, design §4",
        relation: Relation::Different,
        note: "the original takes whatever the manifest does not have out of a Secret",
        tests: &[
            "apply::service_account_tokens::a_declared_token_is_filled_in_by_the_control_plane_and_edits_are_refused",
            "apply::service_account_tokens::the_token_outlives_repairs_resyncs_and_restarts",
            "apply::service_account_tokens::what_the_manifest_declares_of_a_token_stays_ours_and_other_secrets_are_no_tokens",
        ],
    },
    Rule {
        rule: "A restart of the controller writes nothing to what is left to others, and neither does a resync.",
        source: "design §4",
        relation: Relation::Added,
        note: "the original sends each of these objects anew in every pass",
        tests: &[
            "faults::preserve::a_restart_writes_nothing",
            "apply::preserve::replicas_are_left_where_the_manifest_says_so",
            "apply::preserve::templates::claim_templates_stay_as_they_were_created",
        ],
    },
];
