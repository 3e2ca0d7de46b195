//! Rules of what is held against others, and what is not.
use super::{Relation, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        rule: "`spec.protection.ignorePaths` names fields that others may change, remove or add: JSON pointers in which `*` stands for \
               any field or element and `containers[name=app]` for an element of a list by its key; each for all objects, or for those of \
               a `group`, `kind` and `name`. The webhook lets such edits pass, the controller does not put them right, in both scopes and \
               through `kubectl scale`.",
        source: "design §4",
        relation: Relation::Added,
        note: "both ask the same function, which is told by `managedFields`: a path into a list that is owned as a whole (rules of a Role), \
               or to the key of an element, means nothing to either",
        tests: &[
            "apply::ignore_paths::an_ignored_field_is_set_once_and_then_left_to_others",
            "apply::ignore_paths::what_is_beside_an_ignored_field_is_put_right_and_it_is_not",
            "apply::ignore_paths::filters_and_scopes_and_scale",
            "apply::ignore_paths::a_part_of_an_atomic_list_cannot_be_ignored",
        ],
    },
    Rule {
        rule: "What is ignored is set at creation, and once more when the manifest changes and it is not there: a new container comes with \
               its image. What others removed stays away until then; another value in the Secret changes nothing.",
        source: "design §4",
        relation: Relation::Added,
        note: "no live value is read and sent back; in manifests that the server refuses to apply, lists are written as a whole",
        tests: &[
            "apply::ignore_paths::an_ignored_field_is_set_once_and_then_left_to_others",
            "apply::ignore_paths::what_is_beside_an_ignored_field_is_put_right_and_it_is_not",
            "apply::ignore_paths::paths_hold_in_what_cannot_be_applied",
            "faults::ignore_paths::a_restart_writes_nothing",
        ],
    },
    Rule {
        rule: "A path that is removed takes its fields back: declared ones get the value of the manifest, others go.",
        source: "design §4",
        relation: Relation::Added,
        note: "at once",
        tests: &["apply::ignore_paths::a_path_that_goes_takes_its_fields_back"],
    },
    Rule {
        rule: "A path that cannot be read, or that means what is never left to others (apiVersion, kind, metadata other than single labels \
               and annotations, labels and annotations of Holdfast), is refused by the webhook; where one gets in anyway, nothing of \
               this ManagedResource is done until it is mended. A number in a path is a field's name, which a warning says.",
        source: "design §4",
        relation: Relation::Added,
        note: "to go on without the path would reset what it was to leave to others",
        tests: &[
            "apply::ignore_paths::a_path_that_nobody_can_read_is_refused_and_harms_nobody",
            "faults::ignore_paths::a_bad_path_is_told_and_nothing_is_reset",
        ],
    },
    Rule {
        rule: "Exact scope (the default) holds everything outside labels, annotations, finalizers, status and what is left to others: fields \
               that no manifest sets are refused as well. `spec.protection.scope: Declared` holds what manifests set: elements of keyed \
               lists by their keys, atomic lists as a whole, members of sets by their value. Objects that the server refuses to apply, and \
               that are written plainly, are held alike.",
        source: "design §4, §7",
        relation: Relation::Added,
        note: "told by `managedFields` of the object in the review, without a schema",
        tests: &[
            "protect::scope::exact_scope_holds_additions_too",
            "protect::scope::declared_scope_holds_what_is_declared_and_nothing_else",
            "apply::ignore_paths::paths_hold_in_what_cannot_be_applied",
        ],
    },
    Rule {
        rule: "An edit through another apiVersion than the manifest's may change labels and annotations of others; all content is held, in \
               declared scope, too.",
        source: "design §4",
        relation: Relation::Added,
        note: "which field is which cannot be told there",
        tests: &["protect::scope::another_version_is_no_way_around"],
    },
    Rule {
        rule: "In both scopes held are: declared labels, annotations and finalizers, every label and annotation below \
               `resources.gardener.cloud/`, owner references. Other labels, annotations and finalizers may come and go, unless \
               `forceOverwriteLabels` or `forceOverwriteAnnotations` says that they are removed: then they are refused as well.",
        source: "design §4",
        relation: Relation::Added,
        note: "before they are stored",
        tests: &[
            "protect::scope::declared_metadata_is_held_and_other_metadata_is_not",
            "protect::scope::forced_labels_and_annotations_are_refused_to_others",
            "protect::metadata::foreign_finalizers_may_come_and_go",
        ],
    },
    Rule {
        rule: "Our entry in `managedFields` is not removed, renamed, emptied or added to by others.",
        source: "design §5",
        relation: Relation::Added,
        note: "that a change of a declared field takes it out of the entry is the server's doing, and judged as that change; the time of \
               the entry is not looked at; through `/status` the server takes no `managedFields`",
        tests: &["protect::scope::our_entry_in_managed_fields_is_nobody_elses"],
    },
    Rule {
        rule: "`kubectl rollout restart` is allowed, as is what autoscalers and the annotations `preserve-replicas` and \
               `preserve-resources` leave to others, and everything of an object whose manifest says `ignore: \"true\"`.",
        source: "§7.4, §8.2",
        relation: Relation::Added,
        note: "the webhook obeys the same table as the controller",
        tests: &[
            "protect::scope::exact_scope_holds_additions_too",
            "apply::preserve::replicas_are_left_where_the_manifest_says_so",
            "apply::preserve::templates::requests_and_limits_are_left_where_the_manifest_says_so",
            "apply::autoscalers::an_autoscaler_comes_and_goes_and_replicas_never_jump",
        ],
    },
    Rule {
        rule: "`kubectl scale` is refused for built-in and custom resources alike; so are `resize` and `ephemeralcontainers` of managed pods, in \
               declared scope as far as they change what is declared; and changes of held metadata through `/status`. Refusals of \
               `resize` name the field, those of `kubectl debug` the container, and how to debug a copy.",
        source: "design §7",
        relation: Relation::Added,
        note: "the scale of a kind other than Deployment and StatefulSet counts as declared, since a Scale says nothing of its parent",
        tests: &[
            "protect::subresources::custom_resources_are_not_scaled_either",
            "protect::subresources::pods_are_neither_resized_nor_debugged",
            "protect::metadata::status_is_free_but_is_no_way_around",
        ],
    },
    Rule {
        rule: "Status, `eviction`, `exec`, `binding` and `token` of managed objects are nobody's business, and cost no call of the webhook.",
        source: "design §7",
        relation: Relation::Added,
        note: "counted by the webhook's own metric",
        tests: &["protect::subresources::what_is_nobodys_business_is_not_called_out"],
    },
    Rule {
        rule: "An object with our marks that no ManagedResource holds may be created, changed and deleted (a backup that is restored, a copy): its \
               creation gets a warning. The creation of an object that a ManagedResource holds, by anybody else, is refused.",
        source: "design §7",
        relation: Relation::Added,
        note: "inventories decide, never marks",
        tests: &["protect::scope::a_copy_of_a_managed_object_may_be_created_and_its_place_may_not_be_taken"],
    },
    Rule {
        rule: "A managed namespace is not deleted by anybody but its controller. One that is not managed and holds managed objects is, with a \
               warning that says how many; `webhook.namespaceDeletion: Deny` refuses it. The namespace controller deletes whatever is in it.",
        source: "design §7",
        relation: Relation::Added,
        note: "always fails open; objects of paused ManagedResources and of those that are being deleted are not counted",
        tests: &[
            "protect::deletion::a_managed_namespace_is_not_deleted",
            "protect::deletion::a_namespace_goes_with_all_that_is_in_it_and_a_warning",
            "protect::subresources::what_is_nobodys_business_is_not_called_out",
        ],
    },
    Rule {
        rule: "What the control plane deletes is never refused: dependents of owners that are gone, Jobs whose time is over, pods that are evicted \
               (`kubectl drain`); nor are children of managed workloads, by whomever.",
        source: "design §7",
        relation: Relation::Added,
        note: "exempt are its controllers by name; what is declared is created again",
        tests: &[
            "protect::deletion::the_control_plane_deletes_what_it_deletes",
            "protect::deletion::a_node_can_be_drained",
        ],
    },
    Rule {
        rule: "Secrets and ManagedResources are refused when a manifest claims an object of our own installation (the definition and the admission \
               configurations included), or the namespace kube-system or our own without the annotation `keep-object`; when labels or annotations are not such as the API server takes; and when there are more objects than \
               a status can hold, with the number.",
        source: "design §7",
        relation: Relation::Added,
        note: "each with the key and document of the Secret; whoever writes them",
        tests: &[
            "protect::validation::what_we_and_the_cluster_live_in_is_refused",
            "protect::validation::every_object_of_the_installation_is_refused",
            "protect::validation::labels_and_annotations_that_no_object_can_have_are_refused",
            "protect::validation::more_than_a_status_can_hold_is_refused_with_the_number",
        ],
    },
    Rule {
        rule: "They get a warning when another ManagedResource holds an object, when an object has a namespace and its kind is in none, and when the \
               class of a ManagedResource changes: it says what becomes of the objects.",
        source: "design §7",
        relation: Relation::Added,
        note: "of kinds that are not built in, only those in use are known to be in no namespace; unknown kinds are named by the condition",
        tests: &[
            "protect::validation::what_another_one_holds_is_said",
            "protect::validation::useless_namespaces_and_changes_of_the_class_are_said",
        ],
    },
    Rule {
        rule: "Changes of metadata of such a Secret or ManagedResource, and their deletion, alone or with the namespace, always pass.",
        source: "design §7",
        relation: Relation::Added,
        note: "a dry run gets the same answer as the write",
        tests: &[
            "protect::validation::metadata_of_a_bad_secret_may_be_changed_and_it_may_be_deleted",
            "protect::deletion::a_namespace_goes_with_all_that_is_in_it_and_a_warning",
        ],
    },
];
