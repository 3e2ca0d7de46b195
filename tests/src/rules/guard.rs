//! The admission policy that protects while our pods are away, and the rights that we have.

use super::{
    Relation::{Added, Different},
    Rule,
};

const AWAY: &str = "protect::admission_policy::the_policy_protects_while_we_are_away";
const GOING: &str = "protect::admission_policy::namespaces_and_dependents_are_deleted_while_we_are_away";
const RIGHTS: &str = "install::rbac::every_right_is_used_and_none_is_missing";

pub(super) const RULES: &[Rule] = &[
    Rule {
        rule: "With `guard.enabled` the API server itself refuses edits and deletions of objects in mode Deny and Revert while no process of ours \
               runs: any content, our marks, declared labels, annotations and finalizers, owner references, `managedFields`, also through `/status`",
        source: "design §2, §7",
        relation: Added,
        note: "a ValidatingAdmissionPolicy; it costs no network call",
        tests: &[AWAY],
    },
    Rule {
        rule: "What is left to others passes it, from the same tables: other labels, annotations and finalizers, status, `kubectl rollout \
               restart`, replicas and resources where they are left, what fills in CA bundles and load balancers",
        source: "design §4, §7",
        relation: Added,
        note: "`cargo xtask gen` writes the tables into the chart as CEL",
        tests: &[AWAY],
    },
    Rule {
        rule: "Modes Warn and Off, paused objects, objects that are being deleted, and children of managed objects are none of its business; \
               modes are what they are without it while the webhook answers, and Revert puts back before it looks",
        source: "design §7",
        relation: Added,
        note: "labels are copied by others, so it asks for our field manager, too",
        tests: &[AWAY],
    },
    Rule {
        rule: "The controllers of Kubernetes, our own accounts and exempt users pass it: namespaces are deleted, dependents collected, \
               autoscalers scale",
        source: "design §7",
        relation: Added,
        note: "one list for webhook and policy",
        tests: &[AWAY, GOING],
    },
    Rule {
        rule: "Objects in declared scope or with `ignorePaths` carry the annotation `resources.gardener.cloud/guard: metadata`: it protects \
               their metadata and their existence, and leaves their content to the other lines",
        source: "design §7",
        relation: Added,
        note: "written only where the guard is enabled, and only on these objects",
        tests: &[AWAY],
    },
    Rule {
        rule: "While nobody is there to obey a pause, who has the verb `override` on the ManagedResource may set the protection label of an object \
               to `off`, alone, and edit it then",
        source: "design §7",
        relation: Added,
        note: "the refusal names the command; the controller puts it right when it is back",
        tests: &[AWAY],
    },
    Rule {
        rule: "With `clusterAdmin: false` each right of the two service accounts is used, none is missing, and there are no others",
        source: "design §7",
        relation: Different,
        note: "the original's rights are whatever its installer gives; compared with the API server's audit log",
        tests: &[RIGHTS],
    },
];
