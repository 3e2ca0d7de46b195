//! What was loaded from Secrets, and whether it still is what they say.

use std::{collections::BTreeSet, sync::Arc};

use holdfast_core::key::{GroupKind, NamespacedName};

use super::World;
use crate::desired::DesiredSet;

impl World {
    /// ManagedResources that reference a Secret and have not loaded exactly this version of it. `None` for a Secret that is gone.
    pub fn secret_changed(&self, secret: &NamespacedName, version: Option<&str>) -> Vec<NamespacedName> {
        let mut inner = self.lock();
        let users: Vec<NamespacedName> = inner.index.users_of_secret(secret).into_iter().cloned().collect();
        if users.is_empty() {
            inner.secrets.remove(secret);
            return users;
        }
        inner.secrets.insert(secret.clone(), version.map(str::to_owned));
        let is_current = |loaded: &Arc<DesiredSet>| loaded.has_version(&secret.name, version);
        let outdated: Vec<_> =
            users.into_iter().filter(|user| !inner.loaded.get(user).is_some_and(is_current)).collect();
        outdated
    }

    /// ManagedResources that declare objects of a kind.
    pub fn users_of_kind(&self, kind: &GroupKind) -> Vec<NamespacedName> {
        let inner = self.lock();
        let users = inner.loaded.iter().filter(|(_, loaded)| loaded.kinds.contains(kind));
        users.map(|(mr, _)| mr.clone()).collect()
    }

    /// Secrets that loaded manifests come from.
    pub fn loaded_secrets(&self) -> BTreeSet<NamespacedName> {
        let inner = self.lock();
        let names = inner
            .loaded
            .iter()
            .flat_map(|(mr, loaded)| loaded.secrets().map(|name| NamespacedName::new(&mr.namespace, name)));
        names.collect()
    }

    /// DesiredSet manifests of a ManagedResource, unless a Secret or what autoscalers scale has changed since.
    pub fn loaded(&self, key: &NamespacedName) -> Option<Arc<DesiredSet>> {
        let inner = self.lock();
        let loaded = inner.loaded.get(key).filter(|_| inner.is_scaled_as(key))?;
        let is_current = |name: &String| {
            let known = inner.secrets.get(&NamespacedName::new(&key.namespace, name));
            known.is_none_or(|version| loaded.has_version(name, version.as_deref()))
        };
        loaded.secrets().all(is_current).then(|| Arc::clone(loaded))
    }

    /// What was loaded last of a ManagedResource, up to date or not.
    pub fn last_loaded(&self, key: &NamespacedName) -> Option<Arc<DesiredSet>> {
        self.lock().loaded.get(key).cloned()
    }

    /// Whether the watch has spoken of another version of a Secret of a ManagedResource; `None`: it was missing.
    pub fn is_outdated(&self, mr: &NamespacedName, secret: &str, version: Option<&str>) -> bool {
        let inner = self.lock();
        let known = inner.secrets.get(&NamespacedName::new(&mr.namespace, secret));
        known.is_some_and(|known| known.as_deref() != version)
    }

    /// Keeps loaded manifests until one of their Secrets changes.
    pub fn keep_loaded(&self, key: &NamespacedName, loaded: Arc<DesiredSet>) {
        let mut inner = self.lock();
        inner.note_scaled(key, &loaded);
        inner.loaded.insert(key.clone(), loaded);
    }
}
