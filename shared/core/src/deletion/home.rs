//! ManagedResources that hold the Namespace they live in.
//!
//! A Namespace that is being deleted waits for our finalizer in it. Whoever waited for that Namespace in turn would wait for
//! ever.

use crate::key::ObjectKey;

/// An object that is left of an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The object.
    pub object: ObjectKey,
    /// It is being deleted.
    pub is_terminating: bool,
}

/// Whether a ManagedResource that is being deleted need not wait any more, given that its own Namespace `home`, in the cluster
/// that its objects are in, is being deleted: all that is left is that Namespace or in it, and so goes with it.
///
/// The same holds for other Namespaces that are being deleted and wait for ManagedResources in them (`holds_finalizers`):
/// those in turn may wait for this one.
pub fn goes_with_home(leftovers: &[Leftover], home: &str, holds_finalizers: impl Fn(&str) -> bool) -> bool {
    let is_terminating = |name: &str| {
        leftovers.iter().any(|other| other.object.is_namespace() && other.object.name() == name && other.is_terminating)
    };
    let goes = |place: &str| !place.is_empty() && (place == home || is_terminating(place) && holds_finalizers(place));
    leftovers.iter().all(|leftover| {
        let object = &leftover.object;
        if object.is_namespace() {
            // Of its home that is known, whether we have come to delete it or not.
            object.name() == home || leftover.is_terminating && goes(object.name())
        } else {
            goes(object.namespace())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leftover(kind: &str, namespace: &str, name: &str, is_terminating: bool) -> Leftover {
        Leftover { object: ObjectKey::new("", kind, namespace, name), is_terminating }
    }

    #[test]
    fn nobody_waits_for_his_own_home() {
        let home = || leftover("Namespace", "", "home", true);
        let other = || leftover("Namespace", "", "other", true);
        let free = || leftover("Namespace", "", "free", true);
        for (case, leftovers, expected) in [
            ("only the namespace", vec![home()], true),
            ("and what is in it", vec![home(), leftover("ConfigMap", "home", "c", true)], true),
            ("what is in it waits for its turn", vec![home(), leftover("ConfigMap", "home", "c", false)], true),
            ("the namespace is not ours, but dying", vec![leftover("ConfigMap", "home", "c", false)], true),
            (
                "its deletion, which others asked for, waits for its turn",
                vec![leftover("Namespace", "", "home", false)],
                true,
            ),
            ("a refused deletion of another namespace", vec![home(), leftover("Namespace", "", "other", false)], false),
            ("something elsewhere", vec![home(), leftover("ConfigMap", "elsewhere", "c", true)], false),
            ("something cluster-wide", vec![home(), leftover("Node", "", "n", true)], false),
            ("another namespace with ManagedResources", vec![home(), other()], true),
            ("and what is in that", vec![other(), leftover("ConfigMap", "other", "c", true)], true),
            ("another one that does not wait for us", vec![home(), free()], false),
            ("in a namespace that lives", vec![leftover("ConfigMap", "other", "c", true)], false),
        ] {
            assert_eq!(goes_with_home(&leftovers, "home", |name| name == "other"), expected, "{case}");
        }
    }
}
