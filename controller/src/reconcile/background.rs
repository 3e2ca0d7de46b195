//! Work on single objects that takes long goes on beside the passes.
//!
//! A pass waits for an answer as long as the resource is above suspicion. Where it is not (`holdfast_runtime::traffic`), the
//! pass goes on without it, and so do the other objects of the ManagedResource: what a sick kind costs is the time of a task
//! that nobody waits for. Its end queues the ManagedResource. Such requests have a room of their own (`turn`), so that however
//! many of them hang, they take none from others.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::key::{NamespacedName, ObjectKey};
use holdfast_runtime::traffic::{OnHold, Resource, Standing};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::Reconciler;
use crate::{
    status::result::{Failures, Pruned},
    target::slots::LOOK,
};

/// How long a pass waits for a resource that is not.
const SUSPICIOUS: Duration = Duration::from_millis(10);
/// How often resources that somebody waits for are looked at.
const ROUND: Duration = Duration::from_millis(250);
/// While an answer may come at any moment; its coming is told sooner.
pub(crate) const UNTIL_ANSWERED: Duration = Duration::from_millis(500);
/// For how long a pass is not concluded because of trouble that may be over at once: as long as a request may take.
const BRIEF: Duration = Duration::from_secs(10);

/// Requests at a time for resources that are not above suspicion. Most of them may hang for ten seconds, and the others of the
/// same resources come between.
const SUSPICIOUS_REQUESTS: usize = 64;

/// What goes on beside the passes, and who waits for what.
pub(crate) struct Background {
    inner: Mutex<Inner>,
    began: Notify,
    /// For resources that are not above suspicion.
    pub(crate) requests: Semaphore,
}

impl Default for Background {
    fn default() -> Self {
        let (inner, began) = (Mutex::default(), Notify::new());
        Self { inner, began, requests: Semaphore::new(SUSPICIOUS_REQUESTS) }
    }
}

#[derive(Default)]
struct Inner {
    /// Objects with requests under way.
    objects: BTreeSet<ObjectKey>,
    waiting: BTreeMap<Resource, Waiting>,
    /// Since when the passes of a ManagedResource are not concluded.
    brief: BTreeMap<NamespacedName, Instant>,
}

/// ManagedResources with objects of a resource that is sick.
#[derive(Default)]
struct Waiting {
    mrs: BTreeSet<NamespacedName>,
    /// With an object that was refused and has not failed itself: likely to succeed, which ends the sickness.
    fresh: BTreeSet<NamespacedName>,
    /// Whose turn was last, of the fresh ones and of all.
    last_fresh: Option<NamespacedName>,
    last: Option<NamespacedName>,
    was_fresh: bool,
}

impl Waiting {
    /// Takes out the one whose turn it is: each comes back until the resource is well. Those with an object that has not failed
    /// go first, but for every other turn: they may be of no use.
    fn next(&mut self) -> Option<NamespacedName> {
        let fresh =
            if self.was_fresh { None } else { after(self.last_fresh.as_ref(), self.mrs.intersection(&self.fresh)) };
        self.was_fresh = fresh.is_some();
        let next = fresh.or_else(|| after(self.last.as_ref(), self.mrs.iter()))?;
        self.mrs.remove(&next);
        self.fresh.remove(&next);
        let last = if self.was_fresh { &mut self.last_fresh } else { &mut self.last };
        *last = Some(next.clone());
        Some(next)
    }
}

/// The next one in a circle.
fn after<'a>(
    last: Option<&NamespacedName>,
    mut mrs: impl Iterator<Item = &'a NamespacedName>,
) -> Option<NamespacedName> {
    let first = mrs.next()?;
    let is_next = |mr: &&NamespacedName| last.is_none_or(|last| *mr > last);
    let next = if is_next(&first) { Some(first) } else { mrs.find(is_next) };
    Some(next.unwrap_or(first).clone())
}

impl Background {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a pass with nothing but trouble that has just begun is to be left open. Not for ever: a resource may be in
    /// trouble again and again.
    /// Returns for how long it has been.
    pub(crate) fn leaves_open(&self, mr: &NamespacedName, failures: &Failures, pruned: &Pruned) -> Option<Duration> {
        let is_brief = !failures.is_empty() && failures.values().all(|failure| failure.is_brief);
        let mut inner = self.lock();
        if !is_brief || !pruned.dropped.is_empty() {
            inner.brief.remove(mr);
            return None;
        }
        let open = inner.brief.entry(mr.clone()).or_insert_with(Instant::now).elapsed();
        (open < BRIEF).then_some(open)
    }

    /// Whether an answer about an object may come at any moment.
    pub(crate) fn is_under_way(&self, object: &ObjectKey) -> bool {
        self.lock().objects.contains(object)
    }

    /// The ManagedResource is gone.
    pub(crate) fn forget(&self, mr: &NamespacedName) {
        self.lock().brief.remove(mr);
    }
}

impl Reconciler {
    /// Whether requests for a resource may not be answered. One that hangs is enough, whatever others of its resource do.
    pub(crate) fn doubts(&self, resource: &Resource) -> bool {
        self.gate.is_clear() && self.standing(resource) != Standing::Well
    }

    /// How a resource stands. One with objects that hang is asked again as one that is sick: nobody else would try these again.
    fn standing(&self, resource: &Resource) -> Standing {
        match self.targets.traffic.standing(resource) {
            Standing::Well if self.targets.traffic.is_suspicious(resource) => Standing::Due,
            standing => standing,
        }
    }

    /// Does work on one object of a ManagedResource, and waits for it as long as its resource is above suspicion. `late` is
    /// told what came of it afterwards, and whether the ManagedResource is to look at it.
    ///
    /// # Errors
    /// There is no answer yet: the work goes on, or other work on this object does.
    pub(crate) async fn patiently<T: Send + 'static>(
        &self,
        mr: &NamespacedName,
        object: &ObjectKey,
        resource: &Resource,
        work: Pin<Box<dyn Future<Output = T> + Send>>,
        late: impl FnOnce(&Self, T) -> bool + Send + 'static,
    ) -> Result<T, OnHold> {
        let result = self.attempt(mr, object, resource, work, late).await;
        let traffic = &self.targets.traffic;
        let is_well = self.standing(resource) == Standing::Well;
        if !is_well && !traffic.has_failed(resource, object.namespace(), object.name()) {
            self.background.lock().waiting.entry(resource.clone()).or_default().fresh.insert(mr.clone());
            self.background.began.notify_one();
        }
        result
    }

    async fn attempt<T: Send + 'static>(
        &self,
        mr: &NamespacedName,
        object: &ObjectKey,
        resource: &Resource,
        work: Pin<Box<dyn Future<Output = T> + Send>>,
        late: impl FnOnce(&Self, T) -> bool + Send + 'static,
    ) -> Result<T, OnHold> {
        let traffic = &self.targets.traffic;
        let refusal = || traffic.refusal(resource, object.namespace(), object.name());
        if self.background.lock().objects.contains(object) {
            return Err(refusal());
        }
        if traffic.standing(resource) == Standing::Held {
            return Err(traffic.turn_away(resource, object.namespace(), object.name()));
        }
        let mut task = tokio::spawn(work);
        let mut patience = if self.doubts(resource) { SUSPICIOUS } else { LOOK };
        loop {
            match timeout(patience, &mut task).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) if error.is_panic() => panic::resume_unwind(error.into_panic()),
                // Only at the end of the process.
                Ok(Err(_)) => return Err(refusal()),
                Err(_) if self.doubts(resource) => break,
                Err(_) => patience = LOOK,
            }
        }
        let Some(this) = self.this.upgrade() else { return Err(refusal()) };
        this.background.lock().objects.insert(object.clone());
        let (mr, object) = (mr.clone(), object.clone());
        tokio::spawn(async move {
            let done = task.await;
            this.background.lock().objects.remove(&object);
            // If it is of no use, the ManagedResource is looked at when its turn comes.
            match done.map(|done| late(&this, done)) {
                Ok(true) => this.queue.add(mr),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, %object, "work on an object ended early"),
            }
        });
        Err(refusal())
    }

    /// A ManagedResource has trouble with a resource. If that is sick, it is looked at again when the time has come.
    pub(crate) fn waits_for(&self, mr: &NamespacedName, resource: &Resource) {
        if self.standing(resource) != Standing::Well {
            let mut inner = self.background.lock();
            inner.waiting.entry(resource.clone()).or_default().mrs.insert(mr.clone());
            drop(inner);
            self.background.began.notify_one();
        }
    }

    /// Queues those who wait for a resource: one of them when it is to be asked again, all when it is well.
    pub(crate) async fn attend(self: std::sync::Arc<Self>, token: CancellationToken) -> anyhow::Result<()> {
        loop {
            let is_idle = self.background.lock().waiting.is_empty();
            let round = async {
                if is_idle {
                    self.background.began.notified().await;
                }
                tokio::select! {
                    () = tokio::time::sleep(ROUND) => {}
                    () = self.targets.traffic.changed() => {}
                }
            };
            if token.run_until_cancelled(round).await.is_none() {
                return Ok(());
            }
            self.queue_waiting();
        }
    }

    fn queue_waiting(&self) {
        let mut inner = self.background.lock();
        inner.waiting.retain(|resource, waiting| {
            let standing = self.standing(resource);
            match standing {
                Standing::Held => {}
                Standing::Due => waiting.next().into_iter().for_each(|mr| self.queue.add(mr)),
                Standing::Well => std::mem::take(&mut waiting.mrs).into_iter().for_each(|mr| self.queue.add(mr)),
            }
            standing != Standing::Well
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_waits_has_a_turn() {
        let key = |name: &str| NamespacedName::new("n", name);
        let mut waiting = Waiting::default();
        waiting.mrs.extend(["a", "b", "c"].map(key));
        let mut turns = Vec::new();
        for _ in 0..5 {
            let next = waiting.next().unwrap();
            waiting.mrs.insert(next.clone());
            turns.push(next.name);
        }
        assert_eq!(turns, ["a", "b", "c", "a", "b"]);
    }

    #[test]
    fn those_with_an_object_that_has_not_failed_go_first_and_shut_nobody_out() {
        let key = |name: &str| NamespacedName::new("n", name);
        let mut waiting = Waiting::default();
        let mut turns = Vec::new();
        for _ in 0..8 {
            waiting.mrs.extend(["a", "b", "c", "d"].map(key));
            // One of them does not wait any more.
            waiting.fresh.extend(["c", "d", "e"].map(key));
            turns.push(waiting.next().unwrap().name);
        }
        assert_eq!(turns, ["c", "a", "d", "b", "c", "c", "d", "d"]);
    }

    #[test]
    fn a_pass_is_left_open_for_a_moment_only() {
        let (background, mr) = (Background::default(), NamespacedName::new("n", "a"));
        let failures = |brief: &[bool]| -> Failures {
            let failure = |is_brief: &bool| crate::status::result::Failure { text: String::new(), is_brief: *is_brief };
            brief.iter().map(failure).enumerate().collect()
        };
        let dropped = Pruned { dropped: vec![holdfast_core::api::ResourceReference::default()], ..Pruned::default() };
        for (case, failures, pruned, expected) in [
            ("nothing failed", failures(&[]), Pruned::default(), false),
            ("brief", failures(&[true, true]), Pruned::default(), true),
            ("one is not", failures(&[true, false]), Pruned::default(), false),
            ("something was pruned", failures(&[true]), dropped, false),
        ] {
            assert_eq!(background.leaves_open(&mr, &failures, &pruned).is_some(), expected, "{case}");
        }
        background.lock().brief.insert(mr.clone(), Instant::now().checked_sub(BRIEF).unwrap());
        assert_eq!(background.leaves_open(&mr, &failures(&[true]), &Pruned::default()), None, "not for ever");
    }
}
