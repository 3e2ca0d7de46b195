//! Rules of ManagedResources as a whole.
use super::Relation::{Added, Different, Fixed, Same};
use super::Rule;

pub(super) const RULES: &[Rule] = &[
    // Class and finalizer.
    Rule {
        rule: "A controller is responsible for ManagedResources of its class; without a class they are of the class `resources`; class `*` takes all.",
        source: "§3",
        relation: Same,
        note: "",
        tests: &[
            "pause::managed_resources::a_managed_resource_of_another_class_is_left_alone",
            "classes::hand_over::classes_do_not_claim_against_each_other",
        ],
    },
    Rule {
        rule: "The finalizer is put on before anything is created; each class but the default one and `*` has its own.",
        source: "§2.3",
        relation: Same,
        note: "",
        tests: &[
            "classes::hand_over::objects_go_with_the_old_class_and_come_with_the_new_one",
            "faults::kill::killed_at_any_write_it_leaks_nothing_and_converges",
        ],
    },
    Rule {
        rule: "When the class changes, the controller of the old one deletes the objects (or keeps them, with `keepObjects`) and takes its finalizer off; `status.resources` stays for the next.",
        source: "§3",
        relation: Same,
        note: "",
        tests: &[
            "classes::hand_over::objects_go_with_the_old_class_and_come_with_the_new_one",
            "classes::hand_over::objects_to_be_kept_are_taken_over_as_they_are",
        ],
    },
    Rule {
        rule: "The controller of the new class does nothing as long as the first finalizer is another one's, and begins when that is gone.",
        source: "§3",
        relation: Same,
        note: "",
        tests: &["classes::hand_over::the_new_class_waits_until_the_old_one_has_let_go"],
    },
    Rule {
        rule: "What another controller observed of the objects in `status.resources` is not believed after a hand-over: everything is applied once.",
        source: "§3",
        relation: Different,
        note: "the original keeps no observations",
        tests: &[
            "classes::hand_over::objects_go_with_the_old_class_and_come_with_the_new_one",
            "classes::hand_over::objects_to_be_kept_are_taken_over_as_they_are",
        ],
    },
    // Annotations of the ManagedResource.
    Rule {
        rule: "`resources.gardener.cloud/ignore` (a truth value as Go reads it) pauses: conditions say so, nothing is written but protection labels. It holds up a hand-over, and does not hold up a deletion.",
        source: "§2.1",
        relation: Different,
        note: "the original does not write these labels; see Break-glass",
        tests: &[
            "pause::managed_resources::a_paused_managed_resource_lets_go_and_takes_hold_again",
            "pause::managed_resources::a_paused_managed_resource_can_be_deleted",
            "classes::hand_over::a_pause_holds_up_a_hand_over",
        ],
    },
    Rule {
        rule: "`gardener.cloud/operation: reconcile` has everything applied again, and is taken off.",
        source: "§2.1",
        relation: Same,
        note: "",
        tests: &[
            "classes::hand_over::other_operations_are_left_where_they_are",
            "drift::repair::repair_can_wait_for_the_next_sync",
        ],
    },
    Rule {
        rule: "`gardener.cloud/operation: wait-for-state` stops everything, even a deletion, and stays.",
        source: "§2.1, §16.13",
        relation: Same,
        note: "",
        tests: &["classes::hand_over::waiting_for_state_stops_everything_even_a_deletion"],
    },
    Rule {
        rule: "`gardener.cloud/operation: restore` and `migrate` have no effect of their own and stay.",
        source: "§2.1",
        relation: Same,
        note: "",
        tests: &["classes::hand_over::other_operations_are_left_where_they_are"],
    },
    // Triggers.
    Rule {
        rule: "A Secret that is created, changed or deleted is noticed at once.",
        source: "§4, §16.7",
        relation: Fixed,
        note: "the original notices changes only, and waits for its back-off or next sync otherwise",
        tests: &[
            "lifecycle::stages::a_secret_may_come_after_the_managed_resource",
            "lifecycle::stages::nothing_is_deleted_while_a_secret_is_missing",
        ],
    },
    Rule {
        rule: "Objects that others change or delete are put right at once, told by watches, not at the next sync.",
        source: "§4, design §5",
        relation: Different,
        note: "the original has no watch for drift; `spec.protection.repair: Resync` is its way",
        tests: &[
            "protect::edits::mode_off_in_the_spec_lets_edits_through_and_undoes_them",
            "drift::repair::repair_can_wait_for_the_next_sync",
        ],
    },
    Rule {
        rule: "Success is said only where the last write of every declared object succeeded. What failed is tried again whatever `repair` says, over restarts as well; \
               so is a sync that did not get through. What is being deleted is waited for (`ApplyProgressing`).",
        source: "§7.6",
        relation: Different,
        note: "the original tries everything again after a failure, and says nothing of what is being deleted",
        tests: &[
            "drift::retries::what_a_policy_refuses_stays_failed_until_it_is_allowed",
            "drift::retries::what_has_no_place_comes_when_there_is_one",
            "drift::retries::a_sync_without_an_answer_is_made_up_for",
            "drift::retries::what_was_deleted_to_be_created_again_is_created",
            "drift::retries::whoever_takes_over_goes_on",
            "drift::terminating::an_object_in_deletion_is_not_written_to",
        ],
    },
    Rule {
        rule: "Failures are tried again after a delay that grows to a minute; an event starts at once all the same.",
        source: "§4",
        relation: Different,
        note: "the original's delay grows to a quarter of an hour",
        tests: &["faults::random::without_hope_it_asks_seldom", "scale::many::one_that_always_fails"],
    },
    // Conditions.
    Rule {
        rule: "`lastTransitionTime` moves with the status, `lastUpdateTime` with reason and message, in seconds of UTC; neither moves without.",
        source: "§1.3",
        relation: Same,
        note: "",
        tests: &["lifecycle::conditions::times_move_with_what_they_stand_for_and_others_conditions_stay"],
    },
    Rule {
        rule: "Conditions of other types, set by others, stay, and so does the order.",
        source: "§1.3",
        relation: Same,
        note: "",
        tests: &["lifecycle::conditions::times_move_with_what_they_stand_for_and_others_conditions_stay"],
    },
    Rule {
        rule: "When what is wanted changes, `ResourcesApplied` is `Progressing` meanwhile, with the words of a failure if there was one, and the other two are `Unknown`.",
        source: "§5.7",
        relation: Same,
        note: "",
        tests: &["lifecycle::conditions::while_work_is_going_on_the_conditions_say_so"],
    },
    Rule {
        rule: "`status.observedGeneration` moves when a pass has got through applying, also where documents cannot be read.",
        source: "§1.2",
        relation: Same,
        note: "",
        tests: &["lifecycle::conditions::the_generation_is_observed_when_all_is_applied"],
    },
    Rule {
        rule: "The status is written only when something changed.",
        source: "§7.7, §9",
        relation: Fixed,
        note: "the original writes it in each pass",
        tests: &["scale::idle::a_settled_installation_writes_nothing_and_is_small"],
    },
    Rule {
        rule: "A status that another client wrote without our fields is mended by one write.",
        source: "design §6",
        relation: Added,
        note: "the fields are ours",
        tests: &["lifecycle::conditions::a_status_written_by_a_typed_client_is_mended_once"],
    },
    // Marks.
    Rule {
        rule: "Every object carries origin, description and the managed-by label; the origin begins with the cluster's id if there is one.",
        source: "§2.2, §7.3",
        relation: Same,
        note: "",
        tests: &[
            "protect::metadata::a_managed_object_shows_who_manages_it",
            "lifecycle::conditions::the_origin_names_the_cluster",
        ],
    },
    Rule {
        rule: "`spec.injectLabels` go on each object, its pod template and its claim templates; managed-by wins.",
        source: "§7.2",
        relation: Same,
        note: "",
        tests: &["lifecycle::stages::labels_are_injected_into_templates"],
    },
    Rule {
        rule: "A `spec.template` that is no template, such as a text in a custom resource, is left alone.",
        source: "§7.2, §16.11",
        relation: Fixed,
        note: "the original can never apply such an object",
        tests: &["lifecycle::invalid_settings::a_template_that_is_none_is_left_alone"],
    },
    Rule {
        rule: "With `forceOverwriteLabels` and `forceOverwriteAnnotations`, those of others are refused at the door and removed at once; not what the control plane writes, nor keep-object, nor what OpenStack writes on a Service.",
        source: "§7.3",
        relation: Different,
        note: "the original removes them at the next sync, fights with the control plane over some, and removes keep-object",
        tests: &[
            "apply::labels_and_annotations::labels_and_annotations_of_others_are_removed_where_that_is_asked_for",
            "apply::labels_and_annotations::where_they_are_removed_they_are_refused_first",
        ],
    },
    Rule {
        rule: "Without them, labels and annotations of others stay.",
        source: "§7.3",
        relation: Same,
        note: "",
        tests: &["protect::metadata::foreign_labels_and_annotations_are_welcome"],
    },
    Rule {
        rule: "A label or annotation that is not declared any more vanishes, unless somebody has changed it since.",
        source: "§7.3",
        relation: Same,
        note: "",
        tests: &[
            "apply::labels_and_annotations::what_is_not_declared_any_more_vanishes_unless_somebody_changed_it",
            "lifecycle::stages::fields_that_leave_the_manifest_leave_the_object",
        ],
    },
    Rule {
        rule: "Annotations `reference.resources.gardener.cloud/…` are as declared: those of others are removed.",
        source: "§7.3",
        relation: Same,
        note: "",
        tests: &["apply::labels_and_annotations::references_of_others_for_the_garbage_collector_go"],
    },
    Rule {
        rule: "Every other label and annotation of `resources.gardener.cloud/` on a managed object is reserved: nobody else may set it.",
        source: "design §4",
        relation: Added,
        note: "the original obeys some, whoever set them",
        tests: &[
            "protect::metadata::status_is_free_but_is_no_way_around",
            "protect::edits::alice_may_not_change_a_managed_object",
        ],
    },
    // Identity.
    Rule {
        rule: "An object is known by group, kind, namespace and name, not by version; no namespace is `default`.",
        source: "§6.1, §5.4",
        relation: Same,
        note: "",
        tests: &["apply::definitions::a_version_that_is_not_served_any_more"],
    },
    Rule {
        rule: "An object that is declared as one of an equivalent kind (`spec.equivalences`, and groups that former Kubernetes versions had) is not deleted.",
        source: "§6.2",
        relation: Same,
        note: "",
        tests: &["prune::change_of_owner::what_is_declared_as_an_equivalent_kind_is_not_deleted"],
    },
    Rule {
        rule: "An object belongs to the ManagedResource that has it in its inventory; a second one that declares it says so and waits, and takes it over without a deletion when it is free.",
        source: "design §6",
        relation: Different,
        note: "with the original both write it in turn, and the one that drops it deletes it",
        tests: &[
            "lifecycle::ownership::the_first_to_claim_an_object_keeps_it",
            "lifecycle::ownership::an_object_moves_without_being_deleted",
        ],
    },
    // Applying.
    Rule {
        rule: "Objects are applied in waves by server-side apply: definitions, namespaces, what workloads need, workloads, the rest, what intercepts requests; side by side within a wave.",
        source: "§7.1, design §6",
        relation: Different,
        note: "the original takes one object after the other in Helm's order",
        tests: &[
            "apply::definitions::everything_at_once_succeeds_in_the_first_pass",
            "faults::definitions::a_definition_that_is_refused_holds_up_nothing",
            "apply::waves::a_namespace_and_its_content_come_together",
        ],
    },
    Rule {
        rule: "A definition and its custom resources come together: the pass waits until the kind is served.",
        source: "§7.1",
        relation: Fixed,
        note: "the original fails once",
        tests: &["apply::waves::a_definition_and_its_objects_come_together"],
    },
    Rule {
        rule: "An object that cannot be applied stops no other; all failures are in the condition, with their places.",
        source: "§7.1, §16.3",
        relation: Different,
        note: "the original stops at the first",
        tests: &["apply::waves::what_cannot_be_applied_does_not_stop_the_rest"],
    },
    Rule {
        rule: "Nothing is written to an object that is as declared.",
        source: "§7.5, §16.5",
        relation: Fixed,
        note: "the original sends practically every object in each pass",
        tests: &[
            "scale::idle::a_settled_installation_writes_nothing_and_is_small",
            "apply::no_op::what_means_the_same_is_not_written",
        ],
    },
    Rule {
        rule: "References are in `status.resources` before their objects are created, so that nothing leaks.",
        source: "§7.6, §16.4",
        relation: Fixed,
        note: "the original forgets what a failed pass has created",
        tests: &[
            "faults::kill::killed_at_any_write_it_leaks_nothing_and_converges",
            "lifecycle::invalid_settings::what_a_failed_pass_created_is_not_leaked",
        ],
    },
    Rule {
        rule: "A HorizontalPodAutoscaler that cannot be read harms nobody else.",
        source: "§7.4, §16.12",
        relation: Fixed,
        note: "one with a bad scaleTargetRef stops every ManagedResource of the original",
        tests: &["lifecycle::invalid_settings::an_autoscaler_that_cannot_be_read_harms_nobody"],
    },
    // What does not answer.
    Rule {
        rule: "A kind that is too busy (429), fails, does not answer or answers with nonsense holds up its own objects only: all others are \
               applied, repaired and pruned as before. It gets fewer than one request a second, is named in the condition with the server's \
               words, and is held again soon after it is well.",
        source: "design §6",
        relation: Fixed,
        note: "the original's passes wait for each other, and its clients for what is busy",
        tests: &[
            "faults::failing_kinds::kinds_that_answer_badly_hold_up_no_other",
            "faults::failing_kinds::kinds_that_do_not_answer_hold_up_no_other",
            "faults::failing_kinds::one_object_that_always_fails_holds_up_no_other",
            "faults::failing_kinds::after_an_outage_all_kinds_are_held_again",
            "faults::failing_kinds::conversion::a_kind_that_cannot_be_converted_holds_up_no_other",
            "faults::failing_kinds::late_answers::what_is_looked_at_first_is_created_although_the_answer_is_late",
            "faults::failing_kinds::late_answers::what_cannot_be_looked_at_holds_up_no_other",
            "faults::failing_kinds::terminating::what_ends_unseen_holds_up_no_other",
            "faults::failing_kinds::partial::objects_that_hang_hold_up_no_other_kind",
            "faults::failing_kinds::partial::a_watch_that_ends_at_once_is_asked_for_seldom",
        ],
    },
    Rule {
        rule: "`Retry-After` holds back requests for the resource that it is about; where it is about none (priority and fairness, a proxy), or \
               about three within a second, all requests.",
        source: "design §6",
        relation: Different,
        note: "the original's clients wait one by one",
        tests: &[
            "faults::random::retry_after_is_heeded",
            "faults::failing_kinds::overload::what_is_said_of_no_resource_holds_all",
            "faults::failing_kinds::partial::kinds_that_are_busy_for_ever_hold_up_no_other",
        ],
    },
    Rule {
        rule: "The controller is not ready while an API server gives no good answer for a minute although something is asked, and says so.",
        source: "design §6",
        relation: Added,
        note: "the original stays ready",
        tests: &["faults::failing_kinds::readiness::who_gets_no_good_answer_is_not_ready"],
    },
];
