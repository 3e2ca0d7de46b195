//! Limits the open connections, and evicts one to admit the next.
//!
//! The attack: anyone who reaches the port can open connections and keep silent. With a plain limit of 512, that many silent
//! clients shut out the API server until their headers time out, two minutes later; meanwhile no edit is reviewed. So a new
//! connection is always admitted, for it may be the API server's. The connection that never sent a request is evicted first,
//! then the one that has been idle longest; never one with a request in flight.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often to look for a connection to evict while all of them have requests in flight.
const RETRY: Duration = Duration::from_millis(20);

/// The connections of a server. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    open: Arc<Mutex<Open>>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Open {
    last_number: u64,
    /// By age.
    by_number: BTreeMap<u64, Arc<State>>,
}

#[derive(Debug)]
struct State {
    evicted: CancellationToken,
    in_flight: AtomicUsize,
    has_served: AtomicBool,
    idle_since: Mutex<Instant>,
}

/// The slot of one connection; released when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    connections: Connections,
    number: u64,
    state: Arc<State>,
}

/// A request in flight, until dropped.
pub(crate) struct InFlight(Arc<State>);

impl Connections {
    /// At most so many, and one at least.
    pub(crate) fn new(limit: usize) -> Self {
        Self { open: Arc::default(), limit: limit.max(1) }
    }

    /// A slot for a new connection. Evicts another connection if there is none, and waits while all are in use.
    pub(crate) async fn acquire(&self) -> Slot {
        loop {
            if let Some(slot) = self.try_acquire() {
                return slot;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn try_acquire(&self) -> Option<Slot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.by_number.len() >= self.limit {
            let idle = open.by_number.iter().filter(|(_, state)| state.in_flight.load(Ordering::Acquire) == 0);
            let number = idle.min_by_key(|(_, state)| state.rank()).map(|(number, _)| *number)?;
            open.by_number.remove(&number)?.evicted.cancel();
        }
        open.last_number += 1;
        let (number, state) = (open.last_number, Arc::new(State::new()));
        open.by_number.insert(number, Arc::clone(&state));
        Some(Slot { connections: self.clone(), number, state })
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).by_number.len()
    }
}

impl State {
    fn new() -> Self {
        Self {
            evicted: CancellationToken::new(),
            in_flight: AtomicUsize::new(0),
            has_served: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
        }
    }

    /// The connection with the least rank is evicted.
    fn rank(&self) -> (bool, Instant) {
        let idle_since = *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
        (self.has_served.load(Ordering::Relaxed), idle_since)
    }
}

impl Slot {
    /// Completes when the connection is evicted.
    pub(crate) fn evicted(&self) -> impl Future<Output = ()> + Send + 'static {
        self.state.evicted.clone().cancelled_owned()
    }

    /// Whether a request ever came.
    pub(crate) fn has_served(&self) -> bool {
        self.state.has_served.load(Ordering::Relaxed)
    }

    /// Counts a request as in flight until the result is dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.state.in_flight.fetch_add(1, Ordering::AcqRel);
        self.state.has_served.store(true, Ordering::Relaxed);
        InFlight(Arc::clone(&self.state))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.open.lock().unwrap_or_else(PoisonError::into_inner).by_number.remove(&self.number);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        *self.0.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silent_connections_are_evicted_first_then_idle_ones_and_never_those_in_use() {
        let connections = Connections::new(3);
        let served = connections.acquire().await;
        drop(served.begin());
        tokio::time::advance(Duration::from_secs(1)).await;
        let silent = connections.acquire().await;
        let active = connections.acquire().await;
        let request = active.begin();
        let is_evicted = |slot: &Slot| slot.evicted().now_or_never().is_some();
        assert_eq!(connections.count(), 3);

        let fourth = connections.acquire().await;
        assert_eq!((is_evicted(&served), is_evicted(&silent), is_evicted(&active)), (false, true, false));
        drop(silent);
        assert_eq!(connections.count(), 3, "its slot is in use");
        let of_fourth = fourth.begin();
        let fifth = connections.acquire().await;
        assert_eq!((is_evicted(&served), is_evicted(&active), is_evicted(&fourth)), (true, false, false));
        let _of_fifth = fifth.begin();

        assert!(connections.acquire().now_or_never().is_none(), "all have requests in flight");
        drop(of_fourth);
        let _sixth = connections.acquire().await;
        assert!(is_evicted(&fourth) && !is_evicted(&active) && fourth.has_served());
        drop(request);
    }
}
