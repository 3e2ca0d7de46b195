//! Questions to the index about namespaces and kinds, not single objects.

use std::collections::BTreeSet;

use super::{Index, Owner};
use crate::key::{GroupKind, NamespacedName, ObjectKey};

impl Index {
    /// Counts the objects in a namespace for which `counts` accepts an owner. Also returns the names of these owners.
    pub fn owned_in(
        &self,
        namespace: &str,
        counts: impl Fn(&Owner, &ObjectKey) -> bool,
    ) -> (usize, BTreeSet<&NamespacedName>) {
        let inside = self.by_object.iter().filter(|(object, _)| object.namespace() == namespace);
        let (mut number, mut owners) = (0, BTreeSet::new());
        for (object, claimants) in inside {
            let owned = claimants.iter().filter_map(|key| self.owners.get(key));
            let mut owned = owned.filter(|owner| counts(owner, object) && !owner.is_exempt(object)).peekable();
            number += usize::from(owned.peek().is_some());
            owners.extend(owned.map(|owner| &owner.key));
        }
        (number, owners)
    }

    /// Whether a kind is cluster-scoped; `None` if nobody owns an object of it.
    pub fn is_cluster_wide(&self, kind: &GroupKind) -> Option<bool> {
        let (first, _) = self.by_object.range(ObjectKey::first_of(kind)..).next()?;
        first.is_of(kind).then_some(first.namespace().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::ManagedResource;

    #[test]
    fn objects_are_counted_by_namespace_and_kinds_known_by_their_objects() {
        let mr = |name: &str, metadata: &serde_json::Value| -> ManagedResource {
            let mut mr = json!({"metadata": metadata, "spec": {"secretRefs": []}, "status": {"resources": [
                {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "d", "name": name},
                {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "e", "name": name},
                {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": name},
            ]}});
            mr["metadata"]["name"] = json!(name);
            mr["metadata"]["namespace"] = json!("n");
            serde_json::from_value(mr).unwrap()
        };
        let mut index = Index::default();
        index.upsert(&mr("a", &json!({})));
        index.upsert(&mr("b", &json!({"annotations": {"resources.gardener.cloud/ignore": "true"}})));
        let names = |owners: BTreeSet<&NamespacedName>| owners.iter().map(|key| key.name.clone()).collect::<Vec<_>>();
        let (number, owners) = index.owned_in("d", |_, _| true);
        assert_eq!((number, names(owners)), (2, vec!["a".to_owned(), "b".to_owned()]));
        let (number, owners) =
            index.owned_in("d", |owner, object| owner.paused(object, jiff::Timestamp::UNIX_EPOCH).is_none());
        assert_eq!((number, names(owners)), (1, vec!["a".to_owned()]));
        assert_eq!(index.owned_in("other", |_, _| true).0, 0);
        let kind = |group: &str, kind: &str| GroupKind { group: group.into(), kind: kind.into() };
        assert_eq!(index.is_cluster_wide(&kind("rbac.authorization.k8s.io", "ClusterRole")), Some(true));
        assert_eq!(index.is_cluster_wide(&kind("", "ConfigMap")), Some(false));
        assert_eq!(index.is_cluster_wide(&kind("", "Cm")), None);
    }
}
