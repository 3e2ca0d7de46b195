//! What was loaded from Secrets, and whether it still is what they say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use holdfast_core::key::{GroupKind, NamespacedName, ObjectKey};

use crate::desired::DesiredSet;

/// Of all ManagedResources. A Secret's version and what was loaded of it are compared in one step.
#[derive(Default)]
pub(crate) struct Manifests(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    sets: BTreeMap<NamespacedName, Arc<DesiredSet>>,
    /// Versions of referenced Secrets that the watch has spoken of; `None` for those that are gone.
    secrets: BTreeMap<NamespacedName, Option<String>>,
}

impl Manifests {
    /// The watch has spoken of a version of a Secret, `None` if it is gone. Returns those of its users that have not loaded
    /// exactly this version.
    pub(super) fn set_secret_version(
        &self,
        secret: &NamespacedName,
        version: Option<&str>,
        users: Vec<NamespacedName>,
    ) -> Vec<NamespacedName> {
        let mut inner = self.lock();
        if users.is_empty() {
            inner.secrets.remove(secret);
            return users;
        }
        inner.secrets.insert(secret.clone(), version.map(str::to_owned));
        let is_current = |set: &Arc<DesiredSet>| set.has_version(&secret.name, version);
        users.into_iter().filter(|user| !inner.sets.get(user).is_some_and(is_current)).collect()
    }

    /// ManagedResources that declare objects of a kind.
    pub(crate) fn users_of_kind(&self, kind: &GroupKind) -> Vec<NamespacedName> {
        self.users(|set| set.kinds.contains(kind))
    }

    /// ManagedResources with workloads for which autoscalers matter.
    pub(crate) fn users_of_autoscalers(&self) -> Vec<NamespacedName> {
        self.users(DesiredSet::heeds_autoscalers)
    }

    /// ManagedResources that declare a workload, in whatever group, of which it matters whether it is scaled.
    pub(super) fn users_of_workload(&self, workload: &ObjectKey) -> Vec<NamespacedName> {
        let is_meant = |key: &ObjectKey| key.name() == workload.name() && key.namespace() == workload.namespace();
        self.users(|set| {
            let mut heeding = set.objects.iter().filter(|object| object.heeds_autoscalers());
            set.heeds_autoscalers() && heeding.any(|object| is_meant(&object.key))
        })
    }

    /// Whether any ManagedResource declares a workload for which autoscalers matter.
    pub(crate) fn heed_autoscalers(&self) -> bool {
        self.lock().sets.values().any(|set| set.heeds_autoscalers())
    }

    /// Secrets that loaded manifests come from.
    pub(crate) fn secrets(&self) -> BTreeSet<NamespacedName> {
        let inner = self.lock();
        let names =
            inner.sets.iter().flat_map(|(mr, set)| set.secrets().map(|name| NamespacedName::new(&mr.namespace, name)));
        names.collect()
    }

    /// What a ManagedResource desires, unless a Secret has changed since it was loaded.
    pub(super) fn current(&self, key: &NamespacedName) -> Option<Arc<DesiredSet>> {
        let inner = self.lock();
        let set = inner.sets.get(key)?;
        let is_current = |name: &String| {
            let seen = inner.secrets.get(&NamespacedName::new(&key.namespace, name));
            seen.is_none_or(|version| set.has_version(name, version.as_deref()))
        };
        set.secrets().all(is_current).then(|| Arc::clone(set))
    }

    /// What was loaded last of a ManagedResource, up to date or not.
    pub(crate) fn last(&self, key: &NamespacedName) -> Option<Arc<DesiredSet>> {
        self.lock().sets.get(key).cloned()
    }

    /// Whether the watch has spoken of another version of a Secret of a ManagedResource; `None`: it was missing.
    pub(crate) fn is_outdated(&self, mr: &NamespacedName, secret: &str, version: Option<&str>) -> bool {
        let inner = self.lock();
        let seen = inner.secrets.get(&NamespacedName::new(&mr.namespace, secret));
        seen.is_some_and(|seen| seen.as_deref() != version)
    }

    /// Keeps what was loaded until one of its Secrets changes.
    pub(crate) fn keep(&self, key: &NamespacedName, set: Arc<DesiredSet>) {
        self.lock().sets.insert(key.clone(), set);
    }

    /// The ManagedResource is gone.
    pub(super) fn forget(&self, key: &NamespacedName) {
        self.lock().sets.remove(key);
    }

    fn users(&self, is_user: impl Fn(&DesiredSet) -> bool) -> Vec<NamespacedName> {
        let inner = self.lock();
        inner.sets.iter().filter(|(_, set)| is_user(set)).map(|(mr, _)| mr.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
