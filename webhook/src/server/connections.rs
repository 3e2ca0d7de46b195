//! Which connections are open, and which of them goes when there are too many.
//!
//! Whoever comes is let in, for it may be the API server. So slow or silent clients cannot shut it out: the connection that has
//! to go is one that has never sent a request, or else the one that has been idle longest. None goes while a request on it
//! is being answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often it is looked for one to go, while requests are being answered on all of them.
const AGAIN: Duration = Duration::from_millis(20);

/// The connections of a server. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    open: Arc<Mutex<Open>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    /// By age.
    by_number: BTreeMap<u64, Arc<State>>,
}

#[derive(Debug)]
struct State {
    go: CancellationToken,
    /// Requests that are being answered.
    busy: AtomicUsize,
    has_served: AtomicBool,
    idle_since: Mutex<Instant>,
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Connections,
    number: u64,
    state: Arc<State>,
}

/// A request that is being answered.
pub(crate) struct Busy(Arc<State>);

impl Connections {
    pub(crate) fn new(most: usize) -> Self {
        Self { open: Arc::default(), most: most.max(1) }
    }

    /// A place for a new connection. Whoever has to go for it is told so.
    pub(crate) async fn enter(&self) -> Place {
        loop {
            if let Some(place) = self.attempt() {
                return place;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn attempt(&self) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.by_number.len() >= self.most {
            let idle = open.by_number.iter().filter(|(_, state)| state.busy.load(Ordering::Acquire) == 0);
            let number = idle.min_by_key(|(_, state)| state.rank()).map(|(number, _)| *number)?;
            let gone = open.by_number.remove(&number)?;
            gone.go.cancel();
        }
        open.last += 1;
        let (number, state) = (open.last, Arc::new(State::new()));
        open.by_number.insert(number, Arc::clone(&state));
        Some(Place { connections: self.clone(), number, state })
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).by_number.len()
    }
}

impl State {
    fn new() -> Self {
        Self {
            go: CancellationToken::new(),
            busy: AtomicUsize::new(0),
            has_served: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
        }
    }

    /// The least goes first.
    fn rank(&self) -> (bool, Instant) {
        let idle_since = *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
        (self.has_served.load(Ordering::Relaxed), idle_since)
    }
}

impl Place {
    /// Waits until this connection has to go.
    pub(crate) fn has_to_go(&self) -> impl Future<Output = ()> + Send + 'static {
        self.state.go.clone().cancelled_owned()
    }

    /// Whether a request ever came.
    pub(crate) fn has_served(&self) -> bool {
        self.state.has_served.load(Ordering::Relaxed)
    }

    /// A request has come; it is answered when the result is dropped.
    pub(crate) fn begin(&self) -> Busy {
        self.state.busy.fetch_add(1, Ordering::AcqRel);
        self.state.has_served.store(true, Ordering::Relaxed);
        Busy(Arc::clone(&self.state))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.lock().unwrap_or_else(PoisonError::into_inner).by_number.remove(&self.number);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_silent_go_first_then_the_idle_and_never_the_busy() {
        let connections = Connections::new(3);
        let served = connections.enter().await;
        drop(served.begin());
        tokio::time::advance(Duration::from_secs(1)).await;
        let silent = connections.enter().await;
        let busy = connections.enter().await;
        let request = busy.begin();
        let gone = |place: &Place| place.has_to_go().now_or_never().is_some();
        assert_eq!(connections.count(), 3);

        let fourth = connections.enter().await;
        assert_eq!((gone(&served), gone(&silent), gone(&busy)), (false, true, false));
        drop(silent);
        assert_eq!(connections.count(), 3, "its place is taken");
        let of_fourth = fourth.begin();
        let fifth = connections.enter().await;
        assert_eq!((gone(&served), gone(&busy), gone(&fourth)), (true, false, false));
        let _of_fifth = fifth.begin();

        assert!(connections.enter().now_or_never().is_none(), "requests are being answered on all of them");
        drop(of_fourth);
        let _sixth = connections.enter().await;
        assert!(gone(&fourth) && !gone(&busy) && fourth.has_served());
        drop(request);
    }
}
