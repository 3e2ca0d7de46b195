//! The ManagedResources themselves, who owns what, and what is planned.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use holdfast_core::{
    api::ManagedResource,
    field_ownership::ManagedScope,
    inventory::{
        index::Index,
        responsibility::{Responsibility, responsibility_of},
    },
    key::{GroupKind, NamespacedName, ObjectKey},
    status::APPLIED,
};

/// All ManagedResources. What is claimed of objects is weighed, and claimed, in one step.
pub(crate) struct ManagedResources {
    class: String,
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) mrs: BTreeMap<NamespacedName, Arc<ManagedResource>>,
    pub(super) index: Index,
    /// Objects that a ManagedResource declares and another one holds.
    pub(super) pending: BTreeMap<NamespacedName, BTreeSet<ObjectKey>>,
    /// ManagedResources that were planned since the start, or cannot be.
    pub(super) planned: BTreeSet<NamespacedName>,
    /// ManagedResources of which somebody has asked that everything be applied, and nothing is planned yet.
    pub(super) requested: BTreeSet<NamespacedName>,
    /// ManagedResources of which the server has told something since they were planned that we did not write.
    pub(super) news: BTreeSet<NamespacedName>,
    /// ManagedResources whose inventory remembers what the controller of another class observed.
    pub(super) inherited: BTreeSet<NamespacedName>,
}

impl Inner {
    /// Forgets a ManagedResource; returns it as it was last seen.
    pub(super) fn remove(&mut self, key: &NamespacedName) -> Option<Arc<ManagedResource>> {
        self.index.remove(key);
        self.pending.remove(key);
        self.planned.remove(key);
        self.requested.remove(key);
        self.news.remove(key);
        self.inherited.remove(key);
        self.mrs.remove(key)
    }
}

/// Numbers of ManagedResources and of objects in their inventories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) managed_resources: usize,
    pub(crate) objects: usize,
}

impl ManagedResources {
    /// None are known yet. `class` says which of them are ours.
    pub(super) fn new(class: &str) -> Self {
        Self { class: class.to_owned(), inner: Mutex::default() }
    }

    /// As last seen.
    pub(crate) fn get(&self, key: &NamespacedName) -> Option<Arc<ManagedResource>> {
        self.lock().mrs.get(key).cloned()
    }

    /// Names of all.
    pub(crate) fn keys(&self) -> BTreeSet<NamespacedName> {
        self.lock().mrs.keys().cloned().collect()
    }

    /// What a ManagedResource is to the controller of our class.
    pub(super) fn responsibility_of(&self, mr: &ManagedResource) -> Responsibility {
        responsibility_of(mr, &self.class)
    }

    /// Our class.
    pub(super) fn class(&self) -> &str {
        &self.class
    }

    /// Nobody is to wait for the plan of this one any more: there is none at present.
    pub(crate) fn set_unplannable(&self, key: &NamespacedName) {
        self.lock().planned.insert(key.clone());
    }

    /// Whether all of ours were planned since the start. Before, nobody knows what is wanted.
    pub(crate) fn are_all_planned(&self) -> bool {
        let inner = self.lock();
        let mut ours = inner.mrs.iter().filter(|(_, mr)| self.responsibility_of(mr) == Responsibility::Reconcile);
        ours.all(|(key, _)| inner.planned.contains(key))
    }

    /// Somebody asks that everything of a ManagedResource be applied. That is not forgotten until it is planned.
    pub(crate) fn request_apply(&self, mr: &NamespacedName) {
        self.lock().requested.insert(mr.clone());
    }

    /// Whether somebody has asked for it.
    pub(crate) fn is_apply_requested(&self, mr: &NamespacedName) -> bool {
        self.lock().requested.contains(mr)
    }

    /// Whether somebody else has written a ManagedResource since it was planned.
    pub(crate) fn has_news(&self, mr: &NamespacedName) -> bool {
        self.lock().news.contains(mr)
    }

    /// Whether a ManagedResource holds an object.
    pub(crate) fn holds(&self, mr: &NamespacedName, object: &ObjectKey) -> bool {
        self.lock().index.owner_of(object).is_some_and(|owner| owner.key == *mr)
    }

    /// The ManagedResource that holds an object.
    pub(super) fn owner_of(&self, object: &ObjectKey) -> Option<NamespacedName> {
        Some(self.lock().index.owner_of(object)?.key.clone())
    }

    /// What of an object is managed.
    pub(super) fn scope_of(&self, object: &ObjectKey) -> ManagedScope {
        self.lock()
            .index
            .owner_of(object)
            .map_or_else(ManagedScope::default, |owner| owner.managed_scope.of_object(object))
    }

    /// ManagedResources that reference a Secret.
    pub(super) fn users_of_secret(&self, secret: &NamespacedName) -> Vec<NamespacedName> {
        self.lock().index.users_of_secret(secret).into_iter().cloned().collect()
    }

    /// Kinds of all objects that are held.
    pub(crate) fn kinds(&self) -> BTreeSet<GroupKind> {
        self.lock().index.kinds()
    }

    /// By the reason of `ResourcesApplied`.
    pub(crate) fn sizes(&self) -> BTreeMap<String, Sizes> {
        let mut sizes: BTreeMap<String, Sizes> = BTreeMap::new();
        for mr in self.lock().mrs.values().filter(|mr| self.responsibility_of(mr) != Responsibility::Foreign) {
            let conditions = mr.status.iter().flat_map(|status| &status.conditions);
            let reason = conditions.filter(|condition| condition.type_ == APPLIED).map(|c| c.reason.clone()).next();
            let sizes = sizes.entry(reason.unwrap_or_else(|| "New".to_owned())).or_default();
            sizes.managed_resources += 1;
            sizes.objects += mr.inventory().len();
        }
        sizes
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
