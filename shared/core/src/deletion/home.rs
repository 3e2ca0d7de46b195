//! ManagedResources that manage the Namespace they live in.
//!
//! A terminating Namespace waits for our finalizer in it. A ManagedResource that waited for its own Namespace would
//! wait for ever.

use crate::key::ObjectKey;

/// An object that still exists in an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The object.
    pub object: ObjectKey,
    /// The object is being deleted.
    pub is_terminating: bool,
}

/// Whether a ManagedResource that is being deleted may stop waiting. Its own Namespace `home`, in the cluster of its
/// objects, is being deleted, too. It may stop if all remaining objects are that Namespace or in it, because they go
/// with it.
///
/// The same holds for other Namespaces that are being deleted and wait for ManagedResources in them
/// (`holds_finalizers`). Those may in turn wait for this one.
pub fn goes_with_home(leftovers: &[Leftover], home: &str, holds_finalizers: impl Fn(&str) -> bool) -> bool {
    let is_terminating = |name: &str| {
        leftovers.iter().any(|other| other.object.is_namespace() && other.object.name() == name && other.is_terminating)
    };
    let goes = |place: &str| !place.is_empty() && (place == home || is_terminating(place) && holds_finalizers(place));
    leftovers.iter().all(|leftover| {
        let object = &leftover.object;
        if object.is_namespace() {
            // The home is known to be terminating, even if we have not tried to delete it yet.
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
