//! An index of owners: it tells webhook and controller which ManagedResource owns an object.
//!
//! The inventory (`status.resources`) decides ownership. Labels and annotations on objects do not: others copy labels
//! to objects that no manifest declares (`docs/design/defence.md`).

mod by_namespace;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    api::{ManagedResource, Mode, Repair, ResourceReference},
    field_ownership::{ManagedScope, preserve::Preserve},
    key::{GroupKind, NamespacedName, ObjectKey},
    manifest::annotations::ManagementMode,
    pause::{Entry, Pauses},
};

/// A ManagedResource in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Namespace and name.
    pub key: NamespacedName,
    /// Names of the referenced Secrets, in order.
    pub secrets: Vec<String>,
    /// Mode of the annotation or the spec.
    pub mode: Option<Mode>,
    /// When to repair drift, if the ManagedResource says so.
    pub repair: Option<Repair>,
    /// Contact for questions about the objects.
    pub owner_contact: Option<Arc<str>>,
    /// The ManagedResource's uid, for Events.
    pub uid: Option<Arc<str>>,
    /// Which fields of the objects are managed.
    pub managed_scope: ManagedScope,
    /// The annotation `ignore` is set.
    pub ignored: bool,
    /// Readable pauses, including those that are over.
    pub pauses: Pauses,
    /// The ManagedResource is being deleted.
    pub deleting: bool,
    /// Owned objects, with the Secret that declares each. Thousands of objects share each name of a Secret.
    owned: BTreeMap<ObjectKey, Option<Arc<str>>>,
    /// Fields left to others, for objects whose kind alone does not tell.
    preserved: BTreeMap<ObjectKey, Preserve>,
    /// Owned objects that others may change: few or none.
    free: BTreeSet<ObjectKey>,
}

/// Why edits of an object currently pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused<'a> {
    /// An active pause.
    Until(&'a Entry),
    /// The annotation `ignore` of the ManagedResource.
    Ignored,
}

impl Owner {
    fn new(mr: &ManagedResource) -> Self {
        let of_spec = || mr.spec.protection.as_ref().and_then(|protection| protection.mode);
        let mode = mr.annotation(crate::names::ANNOTATION_PROTECTION).map_or_else(of_spec, Mode::parse);
        Self {
            key: mr.key(),
            secrets: mr.secret_names().into_iter().map(str::to_owned).collect(),
            mode,
            repair: mr.spec.protection.as_ref().and_then(|protection| protection.repair),
            owner_contact: mr.annotation(crate::names::ANNOTATION_OWNER_CONTACT).map(Arc::from),
            uid: mr.metadata.uid.as_deref().map(Arc::from),
            managed_scope: ManagedScope::of(mr),
            ignored: mr.is_ignored(),
            pauses: Pauses::of(mr),
            deleting: mr.is_deleting(),
            owned: owned(mr.inventory()),
            preserved: preserved(mr.inventory()),
            free: free(mr.inventory()),
        }
    }

    /// Returns the pause of an object, or the annotation `ignore`, if edits currently pass because of it.
    pub fn paused(&self, object: &ObjectKey, now: Timestamp) -> Option<Paused<'_>> {
        if self.ignored {
            return Some(Paused::Ignored);
        }
        self.pauses.of_object(object, now).map(Paused::Until)
    }

    /// Returns which fields of an object are left to others.
    pub fn preserve(&self, object: &ObjectKey) -> Preserve {
        self.preserved.get(object).copied().unwrap_or_else(|| Preserve::of_kind(object))
    }

    /// Name of the Secret that declares an object, if the inventory records it.
    pub fn secret_of(&self, object: &ObjectKey) -> Option<&str> {
        self.owned.get(object)?.as_deref()
    }

    /// Whether others may change or delete an object of the inventory: its manifest only asks for it to exist.
    pub fn is_exempt(&self, object: &ObjectKey) -> bool {
        self.free.contains(object)
    }
}

fn free(inventory: &[ResourceReference]) -> BTreeSet<ObjectKey> {
    let is_exempt = |reference: &&ResourceReference| {
        !reference.annotations.is_empty()
            && ManagementMode::of(|name| reference.annotations.get(name)).is_some_and(|mode| !mode.is_managed())
    };
    inventory.iter().filter(is_exempt).map(ResourceReference::object_key).collect()
}

fn owned(inventory: &[ResourceReference]) -> BTreeMap<ObjectKey, Option<Arc<str>>> {
    let mut secrets: BTreeMap<&str, Arc<str>> = BTreeMap::new();
    let entries = inventory.iter().map(|reference| {
        let secret = reference.secret().map(|name| Arc::clone(secrets.entry(name).or_insert_with(|| name.into())));
        (reference.object_key(), secret)
    });
    entries.collect()
}

fn preserved(inventory: &[ResourceReference]) -> BTreeMap<ObjectKey, Preserve> {
    let special = inventory.iter().filter(|reference| reference.preserved.is_some());
    special.map(|reference| (reference.object_key(), Preserve::remembered(reference))).collect()
}

/// All ManagedResources, by their objects and Secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    owners: BTreeMap<NamespacedName, Owner>,
    /// Claims are exclusive, so an object normally has one owner.
    by_object: BTreeMap<ObjectKey, Vec<NamespacedName>>,
    /// Kinds by group and plural, as in URLs. Reviews of a subresource with another kind (Scale) find their parent by
    /// it. Kinds are few and are never removed.
    kinds: BTreeMap<(String, String), String>,
    by_secret: BTreeMap<NamespacedName, BTreeSet<NamespacedName>>,
}

impl Index {
    /// Adds or replaces a ManagedResource.
    pub fn upsert(&mut self, mr: &ManagedResource) {
        let owner = Owner::new(mr);
        if self.owners.get(&owner.key) == Some(&owner) {
            return;
        }
        self.remove(&owner.key);
        for reference in mr.inventory() {
            let Some(plural) = &reference.resource else { continue };
            let gvk = reference.gvk();
            let place = (gvk.group, plural.to_string());
            if self.kinds.get(&place) != Some(&gvk.kind) {
                self.kinds.insert(place, gvk.kind);
            }
        }
        for object in owner.owned.keys() {
            let claimants = self.by_object.entry(object.clone()).or_insert_with(|| Vec::with_capacity(1));
            claimants.push(owner.key.clone());
            claimants.sort_unstable();
        }
        for secret in &owner.secrets {
            let secret = NamespacedName::new(&owner.key.namespace, secret);
            self.by_secret.entry(secret).or_default().insert(owner.key.clone());
        }
        self.owners.insert(owner.key.clone(), owner);
    }

    /// Removes a ManagedResource.
    pub fn remove(&mut self, key: &NamespacedName) {
        let Some(owner) = self.owners.remove(key) else { return };
        for object in owner.owned.keys() {
            let Some(claimants) = self.by_object.get_mut(object) else { continue };
            claimants.retain(|claimant| claimant != key);
            if claimants.is_empty() {
                self.by_object.remove(object);
            }
        }
        for secret in &owner.secrets {
            take(&mut self.by_secret, &NamespacedName::new(&key.namespace, secret), key);
        }
    }

    /// Replaces the content of the index.
    pub fn replace_all<'a>(&mut self, mrs: impl IntoIterator<Item = &'a ManagedResource>) {
        let mut gone: BTreeSet<NamespacedName> = self.owners.keys().cloned().collect();
        for mr in mrs {
            gone.remove(&mr.key());
            self.upsert(mr);
        }
        for key in gone {
            self.remove(&key);
        }
    }

    /// Returns a ManagedResource by name.
    pub fn get(&self, key: &NamespacedName) -> Option<&Owner> {
        self.owners.get(key)
    }

    /// Returns the owner of an object. Claims are exclusive. If two inventories list the object nevertheless (hand-over
    /// between instances), the owner that is not being deleted wins, and then the first by name.
    pub fn owner_of(&self, object: &ObjectKey) -> Option<&Owner> {
        let claimants = self.by_object.get(object)?.iter().filter_map(|key| self.owners.get(key));
        claimants.min_by_key(|owner| (owner.deleting, &owner.key))
    }

    /// Returns every ManagedResource whose inventory lists the object.
    pub fn claimants(&self, object: &ObjectKey) -> impl Iterator<Item = &NamespacedName> {
        self.by_object.get(object).into_iter().flatten()
    }

    /// Returns the owned object at a URL. `namespace` is empty for cluster-scoped objects.
    pub fn object_at(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<ObjectKey> {
        let kind = self.kinds.get(&(group.to_owned(), plural.to_owned()))?;
        let object = ObjectKey::new(group, kind, namespace, name);
        self.by_object.contains_key(&object).then_some(object)
    }

    /// Returns the ManagedResources that reference a Secret and are not being deleted.
    pub fn users_of_secret(&self, secret: &NamespacedName) -> Vec<&NamespacedName> {
        let users = self.by_secret.get(secret).into_iter().flatten();
        users.filter(|key| self.owners.get(key).is_some_and(|owner| !owner.deleting)).collect()
    }

    /// Returns the kinds of the objects in all inventories.
    pub fn kinds(&self) -> BTreeSet<GroupKind> {
        let mut kinds = BTreeSet::new();
        let mut next = self.by_object.keys().next();
        // Objects are sorted by group and kind, so one lookup finds the next kind.
        while let Some(object) = next {
            let kind = object.group_kind();
            next = self.by_object.range(ObjectKey::after(&kind)..).next().map(|(object, _)| object);
            kinds.insert(kind);
        }
        kinds
    }

    /// Number of objects in all inventories.
    pub fn object_count(&self) -> usize {
        self.by_object.len()
    }

    /// Number of ManagedResources.
    pub fn owner_count(&self) -> usize {
        self.owners.len()
    }
}

/// Removes `key` from the set at `at`, and the set if it becomes empty.
fn take(map: &mut BTreeMap<NamespacedName, BTreeSet<NamespacedName>>, at: &NamespacedName, key: &NamespacedName) {
    if let Some(set) = map.get_mut(at) {
        set.remove(key);
        if set.is_empty() {
            map.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_testing::managed_resource;

    use super::*;

    fn owner(name: &str, secret: &str, objects: &[&str]) -> ManagedResource {
        let owner = managed_resource(name).secrets(&[secret]);
        objects.iter().fold(owner, |owner, object| owner.entry("apps/v1", "Deployment", "d", object)).read()
    }

    fn object(name: &str) -> ObjectKey {
        ObjectKey::new("apps", "Deployment", "d", name)
    }

    #[test]
    fn inventory_decides_and_changes_are_followed() {
        let mut index = Index::default();
        index.upsert(&owner("a", "s", &["x", "y"]));
        index.upsert(&owner("b", "s", &["z"]));
        assert_eq!(index.owner_of(&object("x")).unwrap().key.name, "a");
        assert_eq!(index.object_at("apps", "deployments", "d", "z"), Some(object("z")));
        assert_eq!(index.users_of_secret(&NamespacedName::new("n", "s")).len(), 2);

        index.upsert(&owner("a", "t", &["y"]));
        assert!(index.owner_of(&object("x")).is_none());
        assert_eq!(index.object_at("apps", "deployments", "d", "x"), None);
        assert_eq!(index.users_of_secret(&NamespacedName::new("n", "s")).len(), 1);

        index.replace_all(&[owner("b", "s", &["y"])]);
        assert_eq!(index.owner_of(&object("y")).unwrap().key.name, "b");
        assert_eq!((index.owner_count(), index.object_count()), (1, 1));
        assert_eq!(index.kinds(), BTreeSet::from([GroupKind { group: "apps".into(), kind: "Deployment".into() }]));
        index.remove(&NamespacedName::new("n", "b"));
        assert_eq!(Index { kinds: BTreeMap::new(), ..index.clone() }, Index::default());
        assert!(index.kinds().is_empty());
    }

    #[test]
    fn objects_that_are_only_to_be_there_are_free() {
        let mut index = Index::default();
        let mut mr = owner("a", "s", &["held", "ensured", "ignored"]);
        let resources = &mut mr.status.as_mut().unwrap().resources;
        for (position, name, value) in [
            (0, "other", "true"),
            (1, crate::names::ANNOTATION_MODE, "EnsureExists"),
            (2, crate::names::ANNOTATION_IGNORE, "1"),
        ] {
            let annotations = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            resources[position].annotations = annotations.into();
        }
        index.upsert(&mr);
        let free = |name: &str| index.owner_of(&object(name)).unwrap().is_exempt(&object(name));
        assert_eq!(["held", "ensured", "ignored"].map(free), [false, true, true]);
    }

    #[test]
    fn two_claims_of_one_object_outlive_each_other() {
        let mut index = Index::default();
        index.upsert(&owner("a", "s", &["x"]));
        index.upsert(&owner("b", "s", &["x"]));
        assert_eq!(index.claimants(&object("x")).count(), 2);
        index.remove(&NamespacedName::new("n", "a"));
        assert_eq!(index.owner_of(&object("x")).unwrap().key.name, "b");
        assert!(index.object_at("apps", "deployments", "d", "x").is_some());
    }
}
