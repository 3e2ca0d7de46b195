//! Equivalent kinds, which represent the same objects (the original's table). If a manifest moves from one to another,
//! its object is not deleted.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    api::{ManagedResource, MetaGroupKind},
    key::{GroupKind, ObjectKey},
};

/// Built-in equivalences: each kind, and the two groups that have served it.
const BUILT_IN: [(&str, [&str; 2]); 6] = [
    ("Deployment", ["extensions", "apps"]),
    ("DaemonSet", ["extensions", "apps"]),
    ("ReplicaSet", ["extensions", "apps"]),
    ("StatefulSet", ["extensions", "apps"]),
    ("Ingress", ["extensions", "networking.k8s.io"]),
    ("NetworkPolicy", ["extensions", "networking.k8s.io"]),
];

/// Sets of equivalent kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Equivalences {
    sets: Vec<BTreeSet<GroupKind>>,
    /// The index of each kind's set.
    of: BTreeMap<GroupKind, usize>,
}

impl Equivalences {
    /// Combines the built-in equivalences with those of a ManagedResource.
    pub fn of(mr: &ManagedResource) -> Self {
        let mut all = Self::default();
        for (kind, groups) in BUILT_IN {
            all.add(groups.map(|group| GroupKind { group: group.to_owned(), kind: kind.to_owned() }));
        }
        for list in mr.spec.equivalences.iter().flatten() {
            all.add(list.iter().map(MetaGroupKind::group_kind));
        }
        all
    }

    /// Adds a list to the first set that shares a member with it, or to a new set. All members of the list then belong
    /// to this set.
    fn add(&mut self, list: impl IntoIterator<Item = GroupKind>) {
        let list: Vec<GroupKind> = list.into_iter().collect();
        let position = list.iter().find_map(|kind| self.of.get(kind).copied()).unwrap_or_else(|| {
            self.sets.push(BTreeSet::new());
            self.sets.len() - 1
        });
        for kind in list {
            self.of.insert(kind.clone(), position);
            if let Some(set) = self.sets.get_mut(position) {
                set.insert(kind);
            }
        }
    }

    /// Returns the object's identity under each equivalent kind.
    pub fn names_of(&self, object: &ObjectKey) -> impl Iterator<Item = ObjectKey> {
        let own = object.group_kind();
        let set = self.of.get(&own).and_then(|position| self.sets.get(*position));
        let rest = set.into_iter().flatten().filter(move |kind| **kind != own);
        rest.map(|kind| ObjectKey::new(&kind.group, &kind.kind, object.namespace(), object.name()))
    }
}

impl MetaGroupKind {
    /// Converts it to [`GroupKind`].
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group.clone(), kind: self.kind.clone() }
    }
}

/// Whether the built-in table contains this kind. Clusters may no longer serve it.
pub fn is_built_in(kind: &GroupKind) -> bool {
    BUILT_IN.iter().any(|(name, groups)| *name == kind.kind && groups.contains(&kind.group.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rest(equivalences: &Equivalences, group: &str, kind: &str) -> Vec<String> {
        let object = ObjectKey::new(group, kind, "d", "n");
        equivalences.names_of(&object).map(|object| object.group_kind().to_string()).collect()
    }

    #[test]
    fn lists_join_sets_that_they_have_a_member_in_common_with() {
        let kind = |group: &str, kind: &str| json!({"group": group, "kind": kind});
        let mr = serde_json::from_value(json!({"spec": {"secretRefs": [], "equivalences": [
            [kind("", "A"), kind("x", "A")],
            [kind("y", "B"), kind("z", "B")],
            [kind("apps", "Deployment"), kind("x", "Deployment")],
            // Joins the set of A. It takes along B of y, but not B of z.
            [kind("x", "A"), kind("y", "B")],
        ]}}))
        .unwrap();
        let equivalences = Equivalences::of(&mr);
        for (group, kind, expected) in [
            ("extensions", "Ingress", &["Ingress.networking.k8s.io"][..]),
            ("apps", "Deployment", &["Deployment.extensions", "Deployment.x"]),
            ("", "A", &["A.x", "B.y"]),
            ("y", "B", &["A", "A.x"]),
            ("z", "B", &["B.y"]),
            ("", "ConfigMap", &[]),
        ] {
            assert_eq!(rest(&equivalences, group, kind), expected, "{group} {kind}");
        }
    }
}
