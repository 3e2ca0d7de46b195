//! Requests about one object take their turn with those about all others.

use std::{future::Future, time::Duration};

use crate::reconcile::Reconciler;

/// How often an object is tried while the API server is too busy, each time after the pause that it asks for.
const BUSY_TRIES: usize = 5;

impl Reconciler {
    /// Makes the requests of one attempt when there is room for them, and again when the API server was too busy.
    ///
    /// # Errors
    /// Those of the last attempt.
    pub(crate) async fn in_turn<T, E, F>(&self, is_too_busy: fn(&E) -> bool, attempt: impl Fn() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut tries = 1;
        loop {
            // A permit is never refused: the semaphore is not closed.
            let permit = self.requests.acquire().await;
            let result = attempt().await;
            drop(permit);
            match result {
                Err(error) if is_too_busy(&error) && tries < BUSY_TRIES => tries += 1,
                result => return result,
            }
            self.gate.clear().await;
        }
    }
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
