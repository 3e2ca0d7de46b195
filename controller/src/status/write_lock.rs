//! Writes of one ManagedResource come one after the other, and remember which versions they made.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use holdfast_core::key::NamespacedName;
use tokio::sync::OwnedMutexGuard;

/// Versions that are remembered: a caller that saw an older one has to look again.
const MOST_VERSIONS: usize = 16;

/// Of all ManagedResources that were written.
#[derive(Default)]
pub(super) struct WriteLocks(Mutex<BTreeMap<NamespacedName, Arc<tokio::sync::Mutex<OwnVersions>>>>);

impl WriteLocks {
    /// Waits until nobody else writes this ManagedResource.
    pub(super) async fn take(&self, mr: &NamespacedName) -> WriteLock {
        let versions = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(mr.clone()).or_default())
        };
        WriteLock(versions.lock_owned().await)
    }

    /// The ManagedResource is gone.
    pub(super) fn forget(&self, mr: &NamespacedName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(mr);
    }
}

/// While it lives, nobody else writes the ManagedResource.
pub(super) struct WriteLock(OwnedMutexGuard<OwnVersions>);

impl WriteLock {
    pub(super) fn versions(&self) -> &OwnVersions {
        &self.0
    }

    /// The server has accepted a write of one version, which made another.
    pub(super) fn wrote(&mut self, before: &str, after: &str) {
        self.0.wrote(before, after);
    }
}

/// Resource versions of a ManagedResource, each made from the one before by a write of this process.
#[derive(Debug, Default)]
pub(super) struct OwnVersions(VecDeque<String>);

impl OwnVersions {
    fn wrote(&mut self, before: &str, after: &str) {
        if self.0.back().is_none_or(|last| last != before) {
            // Somebody else wrote in between.
            self.0 = VecDeque::from([before.to_owned()]);
        }
        if before != after {
            self.0.push_back(after.to_owned());
        }
        while self.0.len() > MOST_VERSIONS {
            self.0.pop_front();
        }
    }

    /// Whether only writes of this process lie between two versions.
    pub(super) fn lead(&self, from: &str, to: &str) -> bool {
        from == to || self.0.back().is_some_and(|last| last == to) && self.0.iter().any(|version| version == from)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_own_writes_lead_from_one_version_to_another() {
        let mut own = OwnVersions::default();
        own.wrote("1", "2");
        own.wrote("2", "3");
        for (from, to, expected) in [
            ("1", "3", true),
            ("2", "3", true),
            ("3", "3", true),
            ("7", "7", true),
            ("1", "2", false),
            ("3", "1", false),
            ("0", "3", false),
            ("3", "4", false),
        ] {
            assert_eq!(own.lead(from, to), expected, "{from} to {to}");
        }
        // Somebody else wrote 4.
        own.wrote("4", "5");
        assert!(own.lead("4", "5") && !own.lead("3", "5"));
        own.wrote("5", "5");
        assert!(own.lead("4", "5"), "nothing was changed");
        (5..100).for_each(|version| own.wrote(&version.to_string(), &(version + 1).to_string()));
        assert!(own.lead("99", "100") && !own.lead("4", "100"));
        assert_eq!(own.0.len(), MOST_VERSIONS);
    }

    #[tokio::test(start_paused = true)]
    async fn one_writes_at_a_time() {
        let (locks, mr, other) = (WriteLocks::default(), NamespacedName::new("n", "a"), NamespacedName::new("n", "b"));
        let lock = locks.take(&mr).await;
        let at_once = Duration::from_millis(1);
        assert!(tokio::time::timeout(at_once, locks.take(&mr)).await.is_err());
        assert!(tokio::time::timeout(at_once, locks.take(&other)).await.is_ok());
        drop(lock);
        assert!(tokio::time::timeout(at_once, locks.take(&mr)).await.is_ok());
    }
}
