//! Decides what a controller of a class does with a ManagedResource. The rules are the original's.
//!
//! Two controllers never work on one ManagedResource at a time. The former one releases it and removes its finalizer;
//! the new one waits for that.

use crate::{api::ManagedResource, names};

/// The relation of a ManagedResource to a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responsibility {
    /// It has another class, and no finalizer of ours.
    Foreign,
    /// Someone else restores its state first (`gardener.cloud/operation: wait-for-state`). The controller does nothing,
    /// not even a deletion.
    WaitsForState,
    /// The annotation `ignore` pauses it. A deletion overrides this, a hand-over does not.
    Paused,
    /// It is being deleted, or has another class by now. The controller deletes or keeps its objects, and removes our
    /// finalizer.
    Release,
    /// The controller of its former class has not released it yet.
    WaitsForCleanup,
    /// The controller keeps its objects equal to their manifests.
    Reconcile,
}

/// Returns the relation of a ManagedResource to the controller of `class`.
pub fn responsibility_of(mr: &ManagedResource, class: &str) -> Responsibility {
    let is_responsible = names::is_responsible(class, mr.class());
    let has_finalizer = has_finalizer(mr, class);
    if !is_responsible && !has_finalizer {
        Responsibility::Foreign
    } else if mr.annotation(names::ANNOTATION_OPERATION) == Some(names::OPERATION_WAIT_FOR_STATE) {
        Responsibility::WaitsForState
    } else if mr.is_ignored() && !mr.is_deleting() {
        Responsibility::Paused
    } else if mr.is_deleting() || !is_responsible {
        Responsibility::Release
    } else if first_finalizer(mr).is_some_and(|first| *first != names::finalizer_for(class)) {
        Responsibility::WaitsForCleanup
    } else {
        Responsibility::Reconcile
    }
}

/// Whether it has the finalizer of the controller of `class`. If so, that controller made the observations in its
/// inventory.
pub fn has_finalizer(mr: &ManagedResource, class: &str) -> bool {
    let own = names::finalizer_for(class);
    mr.metadata.finalizers.iter().flatten().any(|name| *name == own)
}

/// Returns the first finalizer of any class.
fn first_finalizer(mr: &ManagedResource) -> Option<&String> {
    mr.metadata.finalizers.iter().flatten().find(|name| name.starts_with(names::FINALIZER))
}

#[cfg(test)]
mod tests {
    use holdfast_testing::managed_resource;
    use serde_json::json;

    use super::*;

    const BASE: &str = "resources.gardener.cloud/gardener-resource-manager";
    const SEED: &str = "resources.gardener.cloud/gardener-resource-manager-seed";

    fn of_class(class: &str, finalizers: &[&str], annotations: &[(&str, &str)], is_deleting: bool) -> ManagedResource {
        let annotations: std::collections::BTreeMap<_, _> = annotations.iter().copied().collect();
        managed_resource("mr")
            .metadata(&json!({
                "finalizers": finalizers, "annotations": annotations,
                "deletionTimestamp": is_deleting.then_some("2026-01-01T00:00:00Z"),
            }))
            .spec(&json!({"class": class}))
            .read()
    }

    #[test]
    fn class_and_finalizers_decide_whose_turn_it_is() {
        use Responsibility::{Foreign, Reconcile, Release, WaitsForCleanup};
        for (own, class, finalizers, expected) in [
            ("resources", "", &[][..], Reconcile),
            ("resources", "", &["example.com/x", BASE], Reconcile),
            ("resources", "seed", &[], Foreign),
            ("resources", "seed", &[SEED], Foreign),
            ("resources", "seed", &[BASE], Release),
            ("resources", "seed", &[BASE, SEED], Release),
            ("seed", "seed", &[BASE], WaitsForCleanup),
            ("seed", "seed", &[BASE, SEED], WaitsForCleanup),
            ("seed", "seed", &["example.com/x", SEED, BASE], Reconcile),
            ("seed", "seed", &[], Reconcile),
            ("seed", "", &[SEED], Release),
            ("*", "seed", &[SEED], WaitsForCleanup),
            ("*", "seed", &[BASE], Reconcile),
        ] {
            assert_eq!(
                responsibility_of(&of_class(class, finalizers, &[], false), own),
                expected,
                "{own}: {class:?} {finalizers:?}"
            );
        }
    }

    #[test]
    fn annotations_come_first_but_a_pause_does_not_hold_up_a_deletion() {
        use Responsibility::{Paused, Reconcile, Release, WaitsForState};
        let (ignore, operation) = (names::ANNOTATION_IGNORE, names::ANNOTATION_OPERATION);
        for (class, annotations, is_deleting, expected) in [
            ("", &[(ignore, "true")][..], false, Paused),
            ("", &[(ignore, "yes")], false, Reconcile),
            ("", &[(ignore, "true")], true, Release),
            ("seed", &[(ignore, "true")], false, Paused),
            ("", &[(operation, "wait-for-state")], false, WaitsForState),
            ("", &[(operation, "wait-for-state")], true, WaitsForState),
            ("", &[(operation, "wait-for-state"), (ignore, "true")], false, WaitsForState),
            ("", &[(operation, "restore")], false, Reconcile),
            ("", &[(operation, "reconcile")], false, Reconcile),
        ] {
            let mr = of_class(class, &[BASE], annotations, is_deleting);
            assert_eq!(responsibility_of(&mr, "resources"), expected, "{class:?} {annotations:?} {is_deleting}");
        }
    }
}
