//! Requests about one object take their turn with those about all others; those for a resource that is not above suspicion with
//! others like them.

use std::{future::Future, pin::pin, time::Duration};

use holdfast_runtime::{
    call::CallError,
    traffic::{OnHold, Resource},
};
use tokio::{
    sync::SemaphorePermit,
    time::{sleep, timeout},
};

use crate::reconcile::Reconciler;

/// How often a pass that waits looks whether the resource is above suspicion.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// How often an object is tried while the API server is too busy, each time after the pause that it asks for.
const BUSY_TRIES: usize = 5;
/// A resource that has just begun to be in trouble, such as that of a new definition, is waited for this long.
const BRIEF_PAUSE: Duration = Duration::from_millis(1500);

impl Reconciler {
    /// Makes the requests of one attempt when there is room for them, and again when the API server was too busy. Those for a
    /// `resource` that does not answer take no room from others.
    ///
    /// # Errors
    /// Those of the last attempt.
    pub(crate) async fn in_turn<T, E, F>(
        &self,
        resource: &Resource,
        cause: fn(&E) -> Option<&CallError>,
        attempt: impl Fn() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut tries = 1;
        loop {
            let result = self.one_turn(resource, attempt()).await;
            let Err(error) = &result else { return result };
            let Some(call) = cause(error).filter(|_| tries < BUSY_TRIES) else { return result };
            match call.on_hold() {
                Some(hold) if hold.is_for_all && hold.is_brief && is_short(hold.wait) => sleep(hold.wait).await,
                None if call.is_too_busy() => {}
                _ => return result,
            }
            tries += 1;
            self.gate.clear().await;
        }
    }

    async fn one_turn<T>(&self, resource: &Resource, attempt: impl Future<Output = T>) -> T {
        let Some(permit) = self.room(resource).await else {
            let _permit = self.background.requests.acquire().await;
            return attempt.await;
        };
        let mut attempt = pin!(attempt);
        loop {
            match timeout(LOOK, &mut attempt).await {
                Ok(result) => return result,
                Err(_) if self.doubts(resource) => break,
                Err(_) => {}
            }
        }
        drop(permit);
        attempt.await
    }

    /// Room for an attempt, as soon as there is some; `None` for a resource that is not above suspicion, or is so no more
    /// before its turn comes: its attempts have a room of their own.
    async fn room(&self, resource: &Resource) -> Option<SemaphorePermit<'_>> {
        // A permit is never refused: the semaphore is not closed.
        let mut turn = pin!(self.requests.acquire());
        while !self.doubts(resource) {
            if let Ok(permit) = timeout(LOOK, &mut turn).await {
                return permit.ok().filter(|_| !self.doubts(resource));
            }
        }
        None
    }
}

fn is_short(wait: Duration) -> bool {
    !wait.is_zero() && wait < BRIEF_PAUSE
}

/// Whether an answer that came late is one: then the ManagedResource looks at it.
pub(crate) fn is_answer(error: Option<&CallError>) -> bool {
    error.is_none_or(|error| error.on_hold().is_none())
}

/// The error of a call that has no answer yet.
pub(crate) fn unanswered(what: &str, hold: OnHold) -> CallError {
    CallError::Failed { what: what.to_owned(), cause: hold.into() }
}

/// Work that is done sooner than this is not announced: of a large inventory, saying it costs more than doing it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Does `work`, and beside it `say` if it takes long.
pub(crate) async fn saying<S, W>(say: impl Future<Output = S>, work: impl Future<Output = W>) -> (Option<S>, W) {
    let mut work = Box::pin(work);
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
        return (None, done);
    }
    let (said, done) = tokio::join!(say, work);
    (Some(said), done)
}
