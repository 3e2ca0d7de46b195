//! Passes with nothing but trouble that has just begun, and may be over at once.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::key::NamespacedName;
use tokio::time::Instant;

use crate::status::result::{Failures, Pruned};

/// For how long a pass is left open because of it: as long as a request may take.
const LONGEST: Duration = Duration::from_secs(10);

/// Since when passes are left open.
#[derive(Default)]
pub(super) struct BriefFailures(Mutex<BTreeMap<NamespacedName, Instant>>);

impl BriefFailures {
    /// For how long a pass has been left open, if it stays so. It does not for ever: a resource may be in trouble again and again.
    pub(super) fn open_for(
        &self,
        mr: &NamespacedName,
        failures: &Failures,
        pruned: &Pruned,
        now: Instant,
    ) -> Option<Duration> {
        let is_brief = !failures.is_empty() && failures.values().all(|failure| failure.is_brief);
        let mut since = self.lock();
        if !is_brief || !pruned.dropped.is_empty() {
            since.remove(mr);
            return None;
        }
        let open = now.duration_since(*since.entry(mr.clone()).or_insert(now));
        (open < LONGEST).then_some(open)
    }

    /// The ManagedResource is gone.
    pub(super) fn forget(&self, mr: &NamespacedName) {
        self.lock().remove(mr);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespacedName, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{api::ResourceReference, position::Position};

    use super::*;
    use crate::status::result::Failure;

    #[test]
    fn a_pass_is_left_open_for_a_moment_only() {
        let (open, mr, now) = (BriefFailures::default(), NamespacedName::new("n", "a"), Instant::now());
        let failures = |brief: &[bool]| -> Failures {
            let failure = |is_brief: &bool| Failure { text: String::new(), is_brief: *is_brief };
            Position::enumerate(brief).map(|(position, is_brief)| (position, failure(is_brief))).collect()
        };
        let dropped = Pruned { dropped: vec![ResourceReference::default()], ..Pruned::default() };
        for (case, failures, pruned, expected) in [
            ("nothing failed", failures(&[]), Pruned::default(), false),
            ("brief", failures(&[true, true]), Pruned::default(), true),
            ("one is not", failures(&[true, false]), Pruned::default(), false),
            ("something was pruned", failures(&[true]), dropped, false),
        ] {
            assert_eq!(open.open_for(&mr, &failures, &pruned, now).is_some(), expected, "{case}");
        }
        let brief = failures(&[true]);
        assert_eq!(open.open_for(&mr, &brief, &Pruned::default(), now), Some(Duration::ZERO));
        let (just_before, then) = (now + LONGEST - Duration::from_millis(1), now + LONGEST);
        assert!(open.open_for(&mr, &brief, &Pruned::default(), just_before).is_some());
        assert_eq!(open.open_for(&mr, &brief, &Pruned::default(), then), None, "not for ever");
    }
}
