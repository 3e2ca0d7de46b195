//! Requests about one object take a slot among those about all others. Requests for a doubtful resource take slots of their own, so
//! that however many of them hang, they take none from others.

use std::{future::Future, pin::pin, time::Duration};

use holdfast_runtime::{call::CallError, traffic::Resource};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{sleep, timeout},
};

use super::health::ResourceHealth;

/// How often a request that waits looks whether its resource has become doubtful.
pub(super) const HEALTH_INTERVAL: Duration = Duration::from_millis(100);
/// How often an object is tried while the API server is too busy, each time after the pause that it asks for.
const BUSY_TRIES: usize = 5;
/// A resource that has just begun to be in trouble, such as that of a new definition, is waited for this long.
const BRIEF_PAUSE: Duration = Duration::from_millis(1500);
/// Requests at a time for doubtful resources. Most of them may hang for ten seconds, and the others of the same resources come
/// between.
const DOUBTFUL_REQUESTS: usize = 64;

/// Errors that may stand for a failed call.
pub(crate) trait FromCall: From<CallError> {
    /// The call that failed, if it was one.
    fn as_call(&self) -> Option<&CallError>;
}

impl FromCall for CallError {
    fn as_call(&self) -> Option<&CallError> {
        Some(self)
    }
}

/// Bounds the requests under way.
pub(super) struct Slots {
    health: ResourceHealth,
    regular: Semaphore,
    doubtful: Semaphore,
}

impl Slots {
    /// `width` regular requests at a time.
    pub(super) fn new(health: ResourceHealth, width: usize) -> Self {
        Self { health, regular: Semaphore::new(width), doubtful: Semaphore::new(DOUBTFUL_REQUESTS) }
    }

    /// Makes the requests of one attempt when there is a slot for them, and again when the API server was too busy.
    ///
    /// # Errors
    /// Those of the last attempt.
    pub(super) async fn with_slot<T, E, F>(&self, resource: &Resource, attempt: impl Fn() -> F) -> Result<T, E>
    where
        E: FromCall,
        F: Future<Output = Result<T, E>>,
    {
        let mut tries = 1;
        loop {
            let result = self.attempt_once(resource, attempt()).await;
            let Err(error) = &result else { return result };
            let Some(call) = error.as_call().filter(|_| tries < BUSY_TRIES) else { return result };
            match call.deferred() {
                Some(hold) if hold.is_for_all && hold.is_brief && is_short(hold.wait) => sleep(hold.wait).await,
                None if call.is_too_busy() => {}
                _ => return result,
            }
            tries += 1;
            self.health.gate.wait_until_allowed().await;
        }
    }

    /// A regular slot, whatever the resource.
    pub(super) async fn regular(&self) -> Option<SemaphorePermit<'_>> {
        // A permit is never refused: the semaphore is not closed.
        self.regular.acquire().await.ok()
    }

    async fn attempt_once<T>(&self, resource: &Resource, attempt: impl Future<Output = T>) -> T {
        let Some(permit) = self.regular_for(resource).await else {
            let _permit = self.doubtful.acquire().await;
            return attempt.await;
        };
        let mut attempt = pin!(attempt);
        loop {
            match timeout(HEALTH_INTERVAL, &mut attempt).await {
                Ok(result) => return result,
                Err(_) if self.health.is_doubtful(resource) => break,
                Err(_) => {}
            }
        }
        drop(permit);
        attempt.await
    }

    /// A regular slot, as soon as there is one; `None` for a resource that is doubtful, or becomes so before its turn comes.
    async fn regular_for(&self, resource: &Resource) -> Option<SemaphorePermit<'_>> {
        let mut slot = pin!(self.regular.acquire());
        while !self.health.is_doubtful(resource) {
            if let Ok(permit) = timeout(HEALTH_INTERVAL, &mut slot).await {
                return permit.ok().filter(|_| !self.health.is_doubtful(resource));
            }
        }
        None
    }
}

fn is_short(wait: Duration) -> bool {
    !wait.is_zero() && wait < BRIEF_PAUSE
}
