//! What is remembered of single things of a ManagedResource, as long as there is one.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use holdfast_core::key::NamespacedName;

/// By ManagedResource and by thing. Nothing stays of a ManagedResource of which nothing is remembered.
#[derive(Debug)]
pub(crate) struct PerOwner<K, V>(Mutex<BTreeMap<NamespacedName, BTreeMap<K, V>>>);

impl<K, V> Default for PerOwner<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, V> PerOwner<K, V> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespacedName, BTreeMap<K, V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets one thing.
    pub(crate) fn drop_one<Q: Ord + ?Sized>(&self, mr: &NamespacedName, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.reduce(mr, |of_mr| drop(of_mr.remove(key)));
    }

    /// Forgets all but these.
    pub(crate) fn retain(&self, mr: &NamespacedName, is_retained: impl Fn(&K) -> bool) {
        self.reduce(mr, |of_mr| of_mr.retain(|key, _| is_retained(key)));
    }

    /// The ManagedResource is gone.
    pub(crate) fn forget(&self, mr: &NamespacedName) {
        self.lock().remove(mr);
    }

    fn reduce(&self, mr: &NamespacedName, reduce: impl FnOnce(&mut BTreeMap<K, V>)) {
        let mut all = self.lock();
        let Some(of_mr) = all.get_mut(mr) else { return };
        reduce(of_mr);
        if of_mr.is_empty() {
            all.remove(mr);
        }
    }
}
