//! Rules of the webhook's certificates, and of the cluster in which it is registered.
use super::{Relation, Rule};

const FILES: &str = "certificates::files::certificates_of_others_are_followed_and_bad_ones_change_nothing";
const HARM: &str = "certificates::rotation::whatever_becomes_of_the_secret_and_the_configurations";
const ROTATION: &str = "certificates::rotation::no_call_fails_while_certificates_and_cas_are_replaced";
const TARGET: &str = "install::target_cluster::objects_of_another_cluster_are_protected_there";

pub(super) const RULES: &[Rule] = &[
    Rule {
        rule: "All replicas share one CA and one server certificate in Secret `holdfast-webhook-tls`. The first one makes them, whoever \
               finds them near their end (two thirds are over) replaces them, without a restart. Replicas that start together agree.",
        source: "design §8",
        relation: Relation::Different,
        note: "the original is given files, or has a CA in a Secret of Gardener's",
        tests: &[HARM, ROTATION],
    },
    Rule {
        rule: "Replacing a certificate or a CA fails no call: the former CA stays in the bundle while replicas serve with a certificate \
               of it, and a new certificate is served only when every webhook configuration trusts it, and API servers have had time \
               (a twentieth of its life, 10 s at most) to notice. The former one is served until then, as long as it is valid.",
        source: "design §8",
        relation: Relation::Added,
        note: "proved under failure policy `Fail`, by edits and handshakes without a pause, over several CAs",
        tests: &[ROTATION, HARM],
    },
    Rule {
        rule: "A Secret that is deleted, or in which something is missing, unreadable, of another CA, without its key or expired is mended \
               at once, and no call fails meanwhile. A key of the CA that is of no use is noticed when something has to be signed.",
        source: "design §8",
        relation: Relation::Added,
        note: "a new CA, where the old one cannot sign any more",
        tests: &[HARM],
    },
    Rule {
        rule: "Ages are judged by the clock of the API server, which has to accept the certificate, and not by that of a replica. A replica \
               with a wrong clock replaces nothing, and what it makes is valid.",
        source: "design §8",
        relation: Relation::Added,
        note: "from the `Date` of its answers",
        tests: &["certificates::clock::a_replica_with_a_wrong_clock_replaces_nothing"],
    },
    Rule {
        rule: "The CA is kept in the field `caBundle` of both webhook configurations, and back at once where somebody removes or replaces \
               it, or deletes the configuration and it is made anew. Nothing else of them is written, and a replica that has not heard of \
               a new CA never puts the former one back.",
        source: "design §8",
        relation: Relation::Different,
        note: "by every replica, guarded by the resourceVersion, after a look at the Secret",
        tests: &[HARM],
    },
    Rule {
        rule: "`webhook.certificates.source: Files` takes them from a mounted Secret of others, `CertManager` leaves the bundle to its \
               injector, too. The webhook then has no right to write the Secret or, with `CertManager`, the configurations. Contents are \
               compared every 10 s; files of no use change nothing, are logged and counted in \
               `holdfast_webhook_certificate_failures_total`.",
        source: "design §8",
        relation: Relation::Different,
        note: "the original reads files too, and has no injector",
        tests: &[FILES, "certificates::files::the_chart_says_what_is_missing"],
    },
    Rule {
        rule: "`clusters.role`: with `Source`, ManagedResources are here and their objects in another cluster; the chart with `Target` \
               registers the webhook there, by a URL. Edits are judged there by what the source says; Secrets, ManagedResources and \
               pauses are reviewed in the source.",
        source: "design §7",
        relation: Relation::Added,
        note: "the original's webhooks serve one cluster each",
        tests: &[TARGET],
    },
    Rule {
        rule: "A user name means something in one cluster only. Exempt in the target is the user of the target's kubeconfig, learned at the \
               start, and `clusters.targetUsers`; the webhook keeps that as match condition `not-holdfast`. A namesake of our service \
               accounts is refused, and nobody of the target is asked about pauses.",
        source: "design §7",
        relation: Relation::Added,
        note: "SubjectAccessReviews are asked in the source, about users of the source",
        tests: &[TARGET],
    },
    Rule {
        rule: "That condition goes when nobody asks for it any more: with `clusters.role: Both` the webhook removes it from both \
               configurations, 10 s after it was seen, and the later the more often somebody puts it back. Who is exempt by it is in the \
               log at each change, and counted in `holdfast_webhook_exempt_users`.",
        source: "design §7",
        relation: Relation::Added,
        note: "where `CertManager` keeps the bundle the webhook may not write, and says who is exempt instead",
        tests: &[
            "install::roles::nobody_is_exempt_any_more_when_source_and_target_become_one",
            "install::target_cluster::nobody_is_exempt_any_more_in_a_target_that_stands_alone_again",
        ],
    },
    Rule {
        rule: "A webhook of `Source` is ready, although the chart is not installed in the target yet: a configuration that does not exist \
               there, or may not be read, is told in the log and in `holdfast_webhook_configuration_absent`. One that exists without our \
               CA keeps a pod unready that has just begun. When it comes, it is registered within seconds, and ready pods stay ready. Our \
               own configurations are always waited for.",
        source: "design §7",
        relation: Relation::Added,
        note: "what waits for health, such as `helm --wait`, does not hang",
        tests: &[
            "install::target_cluster::the_source_does_not_wait_for_the_target",
            "install::roles::nobody_is_exempt_any_more_when_source_and_target_become_one",
        ],
    },
    Rule {
        rule: "Settings that do not go together (a target without a URL, a URL with a path or without TLS, a certificate that outlives its \
               CA) end the webhook at the start, with one line that says so; the chart refuses what it can tell.",
        source: "design §8",
        relation: Relation::Added,
        note: "nothing is half registered",
        tests: &[
            "install::target_cluster::settings_that_do_not_go_together_end_the_webhook",
            "certificates::files::the_chart_says_what_is_missing",
        ],
    },
];
