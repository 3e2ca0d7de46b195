//! The work queue: each ManagedResource at most once in it and at most once in work, with back-off.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::key::NamespacedName;
use tokio::{sync::Notify, time::Instant};

/// First delay after a failure.
const SHORTEST_BACKOFF: Duration = Duration::from_millis(200);
/// Longest delay after failures. Events about the ManagedResource or its Secrets start it at once all the same.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// How an item leaves work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing to do until an event comes.
    Done,
    /// Again after this time.
    After(Duration),
    /// It failed: again after a delay that doubles with each failure in a row.
    Backoff,
}

/// Shared by those who add and the workers who take.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<NamespacedName>,
    waiting: BTreeSet<NamespacedName>,
    working: BTreeSet<NamespacedName>,
    delayed: BTreeSet<(Instant, NamespacedName)>,
    due: BTreeMap<NamespacedName, Instant>,
    failures: BTreeMap<NamespacedName, u32>,
    /// When items that an event brought back early would have been tried again.
    retries: BTreeMap<NamespacedName, Instant>,
    /// Times that no other event and no back-off puts off. Few items have one.
    wake: BTreeMap<NamespacedName, Instant>,
}

impl Queue {
    /// Adds an item; twice is once. An item that is in work comes again when that work is done.
    pub fn add(&self, key: NamespacedName) {
        self.lock().add(key);
        self.changed.notify_one();
    }

    /// Adds an item at this time, whatever happens until then; `None` if it need not be.
    pub fn wake(&self, key: &NamespacedName, at: Option<Instant>) {
        let mut state = self.lock();
        match at {
            Some(at) => drop(state.wake.insert(key.clone(), at)),
            None => drop(state.wake.remove(key)),
        }
        drop(state);
        if at.is_some() {
            self.changed.notify_one();
        }
    }

    /// Waits for the next item. To be followed by [`Queue::done`].
    pub async fn next(&self) -> NamespacedName {
        loop {
            let changed = self.changed.notified();
            let due = {
                let mut state = self.lock();
                state.promote(Instant::now());
                if let Some(key) = state.take() {
                    if !state.ready.is_empty() {
                        self.changed.notify_one();
                    }
                    return key;
                }
                state.delayed.first().map(|(due, _)| *due).into_iter().chain(state.wake.values().copied()).min()
            };
            match due {
                Some(due) => tokio::select! { () = changed => {}, () = tokio::time::sleep_until(due) => {} },
                None => changed.await,
            }
        }
    }

    /// Ends the work on an item.
    pub fn done(&self, key: &NamespacedName, next: Next) {
        let mut state = self.lock();
        state.working.remove(key);
        match next {
            Next::Done => state.succeeds(key),
            Next::After(delay) => {
                state.succeeds(key);
                state.delay(key.clone(), Instant::now() + delay);
            }
            // An event came before its time. Not one of these counts, or many would put it off for long.
            Next::Backoff if state.retries.get(key).is_some_and(|at| *at > Instant::now()) => {
                let at = state.retries.remove(key).unwrap_or_else(Instant::now);
                state.delay(key.clone(), at);
            }
            Next::Backoff => {
                state.retries.remove(key);
                let failures = state.failures.entry(key.clone()).or_default();
                let delay = SHORTEST_BACKOFF.saturating_mul(1 << (*failures).min(16)).min(LONGEST_BACKOFF);
                *failures += 1;
                state.delay(key.clone(), Instant::now() + delay);
            }
        }
        if state.waiting.contains(key) {
            state.ready.push_back(key.clone());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Items that could be worked on now.
    pub fn depth(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// `waiting` holds what is to be done; `ready` the part of it that no worker has in hand.
    fn add(&mut self, key: NamespacedName) {
        if let Some(due) = self.due.remove(&key) {
            self.delayed.remove(&(due, key.clone()));
            if self.failures.contains_key(&key) {
                self.retries.insert(key.clone(), due);
            }
        }
        if self.waiting.insert(key.clone()) && !self.working.contains(&key) {
            self.ready.push_back(key);
        }
    }

    fn succeeds(&mut self, key: &NamespacedName) {
        self.failures.remove(key);
        self.retries.remove(key);
    }

    fn delay(&mut self, key: NamespacedName, at: Instant) {
        if self.waiting.contains(&key) {
            return;
        }
        match self.due.get(&key) {
            Some(due) if *due <= at => {}
            due => {
                if let Some(due) = due {
                    self.delayed.remove(&(*due, key.clone()));
                }
                self.due.insert(key.clone(), at);
                self.delayed.insert((at, key));
            }
        }
    }

    fn promote(&mut self, now: Instant) {
        while self.delayed.first().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, key)) = self.delayed.pop_first() {
                self.due.remove(&key);
                self.add(key);
            }
        }
        let due: Vec<_> = self.wake.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.wake.remove(&key);
            self.add(key);
        }
    }

    fn take(&mut self) -> Option<NamespacedName> {
        let key = self.ready.pop_front()?;
        self.waiting.remove(&key);
        self.working.insert(key.clone());
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> NamespacedName {
        NamespacedName::new("n", name)
    }

    async fn is_empty(queue: &Queue) -> bool {
        tokio::time::timeout(Duration::from_millis(1), queue.next()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_is_in_work_once_and_not_forgotten_meanwhile() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("a"));
        queue.add(key("a"));
        queue.add(key("a"));
        assert!(is_empty(&queue).await, "in work");
        queue.done(&key("a"), Next::Done);
        assert_eq!(queue.next().await, key("a"));
        queue.done(&key("a"), Next::Done);
        assert!(is_empty(&queue).await);
    }

    #[tokio::test(start_paused = true)]
    async fn delays_double_and_an_event_cuts_them_short() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.next().await;
        let wait = async || {
            queue.done(&key("a"), Next::Backoff);
            let before = Instant::now();
            assert_eq!(queue.next().await, key("a"));
            before.elapsed().as_millis()
        };
        for expected in [200, 400, 800] {
            assert_eq!(wait().await, expected);
        }
        // Events cut a delay short, and count for nothing: it goes on where it was.
        queue.done(&key("a"), Next::Backoff);
        for _ in 0..3 {
            tokio::time::advance(Duration::from_millis(100)).await;
            queue.add(key("a"));
            let before = Instant::now();
            queue.next().await;
            assert_eq!(before.elapsed(), Duration::ZERO);
            queue.done(&key("a"), Next::Backoff);
        }
        let before = Instant::now();
        queue.next().await;
        assert_eq!(before.elapsed().as_millis(), 1600 - 300);
        assert_eq!(wait().await, 3200);
        queue.done(&key("a"), Next::Done);
        queue.add(key("a"));
        queue.next().await;
        assert_eq!(wait().await, 200, "it had succeeded");
        queue.done(&key("a"), Next::After(Duration::from_secs(3600)));
        queue.add(key("a"));
        let before = Instant::now();
        queue.next().await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_puts_off_a_time_to_wake() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.wake(&key("a"), Some(start + Duration::from_secs(3)));
        queue.wake(&key("b"), Some(start + Duration::from_secs(1)));
        queue.wake(&key("b"), None);
        queue.add(key("a"));
        queue.next().await;
        queue.done(&key("a"), Next::After(Duration::from_secs(60)));
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        queue.done(&key("a"), Next::Done);
        assert!(is_empty(&queue).await, "once");
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_two_times_counts() {
        let queue = Queue::default();
        for seconds in [5, 60] {
            queue.lock().delay(key("a"), Instant::now() + Duration::from_secs(seconds));
        }
        let before = Instant::now();
        queue.next().await;
        assert_eq!(before.elapsed().as_secs(), 5);
        queue.done(&key("a"), Next::Done);
        assert!(is_empty(&queue).await);
    }
}
