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
            "ignored::an_ignored_field_is_set_once_and_then_left_to_others",
            "ignored::what_is_beside_an_ignored_field_is_put_right_and_it_is_not",
            "ignored::filters_and_scopes_and_scale",
            "ignored::a_part_of_an_atomic_list_cannot_be_ignored",
        ],
    },
    Rule {
        rule: "What is ignored is set at creation, and once more when the manifest changes and it is not there: a new container comes with \
               its image. What others removed stays away until then; another value in the Secret changes nothing.",
        source: "design §4",
        relation: Relation::Added,
        note: "no live value is read and sent back; in manifests that the server refuses to apply, lists are written as a whole",
        tests: &[
            "ignored::an_ignored_field_is_set_once_and_then_left_to_others",
            "ignored::what_is_beside_an_ignored_field_is_put_right_and_it_is_not",
            "ignored::paths_hold_in_what_cannot_be_applied",
            "faults::ignored::a_restart_writes_nothing",
        ],
    },
    Rule {
        rule: "A path that is removed takes its fields back: declared ones get the value of the manifest, others go.",
        source: "design §4",
        relation: Relation::Added,
        note: "at once",
        tests: &["ignored::a_path_that_goes_takes_its_fields_back"],
    },
    Rule {
        rule: "A path that cannot be read, or that means what is never left to others (apiVersion, kind, metadata other than single labels \
               and annotations, labels and annotations of Holdfast), is refused by the webhook; where one gets in anyway, nothing of \
               this ManagedResource is done until it is mended. A number in a path is a field's name, which a warning says.",
        source: "design §4",
        relation: Relation::Added,
        note: "to go on without the path would reset what it was to leave to others",
        tests: &[
            "ignored::a_path_that_nobody_can_read_is_refused_and_harms_nobody",
            "faults::ignored::a_bad_path_is_told_and_nothing_is_reset",
        ],
    },
];
