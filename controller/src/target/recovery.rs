//! ManagedResources with objects of a resource that does not answer: each is queued again when its turn comes, and all of them
//! when the resource is well.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::key::NamespacedName;
use holdfast_runtime::traffic::{Resource, Standing};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::health::ResourceHealth;
use crate::queue::Queue;

/// How often resources that somebody waits for are looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// Who waits for which resource.
#[derive(Default)]
pub(super) struct Recovery {
    lines: Mutex<BTreeMap<Resource, Line>>,
    changed: Notify,
}

impl Recovery {
    /// A ManagedResource waits for a resource.
    pub(super) fn add(&self, mr: &NamespacedName, resource: &Resource) {
        self.lines().entry(resource.clone()).or_default().waiting.insert(mr.clone());
        self.changed.notify_one();
    }

    /// A ManagedResource has an object that was refused and has not failed itself.
    pub(super) fn add_untried(&self, mr: &NamespacedName, resource: &Resource) {
        self.lines().entry(resource.clone()).or_default().untried.insert(mr.clone());
        self.changed.notify_one();
    }

    /// Queues those who wait for a resource, until the token is cancelled.
    pub(super) async fn run(&self, health: &ResourceHealth, queue: &Queue, token: CancellationToken) {
        loop {
            let is_idle = self.lines().is_empty();
            let round = async {
                if is_idle {
                    self.changed.notified().await;
                }
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {}
                    () = health.traffic.changed() => {}
                }
            };
            if token.run_until_cancelled(round).await.is_none() {
                return;
            }
            self.queue_waiting(health, queue);
        }
    }

    /// One of them when its resource is to be asked again, all when it is well.
    fn queue_waiting(&self, health: &ResourceHealth, queue: &Queue) {
        self.lines().retain(|resource, line| {
            let standing = health.standing(resource);
            match standing {
                Standing::Suspended => {}
                Standing::Due => line.next().into_iter().for_each(|mr| queue.add(mr)),
                Standing::Well => std::mem::take(&mut line.waiting).into_iter().for_each(|mr| queue.add(mr)),
            }
            standing != Standing::Well
        });
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<Resource, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// ManagedResources with objects of a resource that is sick.
#[derive(Default)]
struct Line {
    waiting: BTreeSet<NamespacedName>,
    /// With an object that was refused and has not failed itself: likely to succeed, which ends the sickness.
    untried: BTreeSet<NamespacedName>,
    /// Whose turn was last, of the untried ones and of all.
    last_untried: Option<NamespacedName>,
    last: Option<NamespacedName>,
    was_untried: bool,
}

impl Line {
    /// Takes out the one whose turn it is: each comes back until the resource is well. Those with an object that has not failed
    /// go first, but for every other turn: they may be of no use.
    fn next(&mut self) -> Option<NamespacedName> {
        let untried = if self.was_untried {
            None
        } else {
            after(self.last_untried.as_ref(), self.waiting.intersection(&self.untried))
        };
        self.was_untried = untried.is_some();
        let next = untried.or_else(|| after(self.last.as_ref(), self.waiting.iter()))?;
        self.waiting.remove(&next);
        self.untried.remove(&next);
        let last = if self.was_untried { &mut self.last_untried } else { &mut self.last };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_waits_has_a_turn() {
        let key = |name: &str| NamespacedName::new("n", name);
        let mut line = Line::default();
        line.waiting.extend(["a", "b", "c"].map(key));
        let mut order = Vec::new();
        for _ in 0..5 {
            let next = line.next().unwrap();
            line.waiting.insert(next.clone());
            order.push(next.name);
        }
        assert_eq!(order, ["a", "b", "c", "a", "b"]);
    }

    #[test]
    fn those_with_an_object_that_has_not_failed_go_first_and_shut_nobody_out() {
        let key = |name: &str| NamespacedName::new("n", name);
        let mut line = Line::default();
        let mut order = Vec::new();
        for _ in 0..8 {
            line.waiting.extend(["a", "b", "c", "d"].map(key));
            // One of them does not wait any more.
            line.untried.extend(["c", "d", "e"].map(key));
            order.push(line.next().unwrap().name);
        }
        assert_eq!(order, ["c", "a", "d", "b", "c", "c", "d", "d"]);
    }
}
