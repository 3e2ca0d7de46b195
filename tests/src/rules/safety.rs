//! Rules of the webhook's own life: what it answers when it cannot judge, how it ends, and what happens without it.
use super::Relation::{Added, Same};
use super::Rule;

/// What all of these have in common.
const NO_WEBHOOK: &str = "the original has no such webhook";

pub(super) const RULES: &[Rule] = &[
    // How it is called.
    Rule {
        rule: "Reviews come over HTTP/1.1 by way of the Service, and over HTTP/2 where the API server calls a URL of its own machine.",
        source: "design §11",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "faults::webhook::http2::reviews_come_over_http2_where_the_api_server_speaks_it",
            "faults::webhook::stale_state::what_was_known_last_goes_on_deciding_and_is_said_to_be_stale",
        ],
    },
    Rule {
        rule: "With `webhook.clientCertificates` only clients with a certificate of that CA, and with one of the names if there are any, \
               get an answer. A change of the CA counts without a restart.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["certificates::client::only_the_api_server_gets_answers"],
    },
    Rule {
        rule: "Whoever may not connect because of his certificate is told of: in the log, each reason once in five minutes with the address \
               of one client and the remedy, and in `holdfast_webhook_refused_clients_total`.",
        source: "design §7",
        relation: Added,
        note: "it may be the API server, and then edits pass without a word",
        tests: &[
            "certificates::client::an_api_server_that_shows_no_certificate_is_told_of",
            "certificates::client::only_the_api_server_gets_answers",
        ],
    },
    // What cannot be judged.
    Rule {
        rule: "Size is no way around: an edit padded to a megabyte, six at a time, is refused like any other. What cannot be judged in \
               size or time is refused where only managed objects arrive, and passes with a warning elsewhere, never an HTTP error.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["protect::large_edits::a_padded_edit_is_refused_like_any_other"],
    },
    Rule {
        rule: "While ManagedResources are not known yet, writes of managed objects pass with a warning, or with failure policy `Fail` are \
               refused; `kubectl scale`, and what is paused, pass with both. The replica is not ready.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["faults::webhook::stale_state::while_nothing_is_known_the_failure_policy_decides"],
    },
    Rule {
        rule: "When the watch of ManagedResources breaks, what was known last goes on deciding. `/readyz` (which stays OK), the metric \
               `holdfast_webhook_index_age_seconds` and the log say that it is stale.",
        source: "design §7",
        relation: Added,
        note: "what makes one replica stale most likely concerns all, and a stale one knows more than none",
        tests: &["faults::webhook::stale_state::what_was_known_last_goes_on_deciding_and_is_said_to_be_stale"],
    },
    Rule {
        rule: "A pause is taken when the SubjectAccessReview about it is refused, fails, breaks off or takes longer than a second; warning, \
               Event, audit annotation and metric say that it was not checked.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["faults::webhook::pause_authorization::a_pause_that_nobody_can_check_is_taken_and_told_of"],
    },
    Rule {
        rule: "Whoever ends a pause, or makes it shorter or smaller, is named by an Event (`Unpaused`) and an audit annotation (`pause-end`).",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["faults::webhook::pause_authorization::a_pause_that_nobody_can_check_is_taken_and_told_of"],
    },
    Rule {
        rule: "A pause is over when the clock says so: the webhook asks its own about each edit, the controller looks at its own about every \
               minute, so that one that was set is noticed.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["faults::webhook::clocks::a_pause_is_over_when_the_clock_says_so"],
    },
    // Without it.
    Rule {
        rule: "A rolling restart of two replicas under load fails no call, also with failure policy `Fail`: who is to end is not ready, goes on \
               for `webhook.shutdownDelaySeconds`, sends its clients elsewhere, and finishes what has begun.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &[
            "faults::rolling_restart::no_call_fails_while_both_replicas_are_replaced",
            "faults::webhook::shutdown::who_is_told_to_end_is_not_ready_first_and_goes_on_for_a_while",
        ],
    },
    Rule {
        rule: "Replicas that hang cost each write of a managed object the timeout; what passes meanwhile is undone, also what lost its label.",
        source: "design §11",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["faults::webhook_timeout::what_passes_hanging_replicas_costs_their_time_and_is_undone"],
    },
    Rule {
        rule: "With failure policy `Fail` and all our processes gone, the control plane and its controllers start and work: Leases are renewed, \
               namespaces with managed objects go, workloads get their pods, nodes write what is theirs. Our own Deployments can be changed, and \
               our pods start.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["faults::failure_policy::with_policy_fail_and_without_us_the_cluster_starts_and_works"],
    },
    // Where requests lead.
    Rule {
        rule: "A request leads to the object that was meant, whatever its name: blanks, `?`, `#`, `:`, `@`, `+`, `&`, quotes and umlauts, as RBAC allows them, work in apply, watch, repair, refusal, pause, prune and deletion.",
        source: "§7",
        relation: Same,
        note: "",
        tests: &["apply::object_names::peculiar_names_are_applied_protected_repaired_pruned_and_deleted"],
    },
    Rule {
        rule: "The command to pause in a refusal can be pasted into a POSIX shell, whatever the name of the object.",
        source: "design §7",
        relation: Added,
        note: NO_WEBHOOK,
        tests: &["apply::object_names::peculiar_names_are_applied_protected_repaired_pruned_and_deleted"],
    },
    Rule {
        rule: "An entry of the inventory with a name or namespace that no object can have names nothing: it is gone, and no other object is touched for it.",
        source: "§8.2",
        relation: Added,
        note: "older versions wrote such entries",
        tests: &["apply::object_names::a_name_that_its_kind_cannot_have_never_leads_to_another_object"],
    },
    Rule {
        rule: "Both programs start where the system has no certificates of authorities, as in an image FROM scratch: the service account or the kubeconfig names the one that counts.",
        source: "§13",
        relation: Same,
        note: "",
        tests: &["install::scratch_image::both_programs_work_without_authorities_of_the_system"],
    },
];
