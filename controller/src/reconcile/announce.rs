//! Saying what is going on, if it takes long.

use std::{future::Future, time::Duration};

/// Work that is done sooner than this is not announced: of a large inventory, saying it costs more than doing it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Does `work`, and beside it `announce` if it takes long; the result of that comes first.
pub(super) async fn announce_if_slow<A, W>(
    announce: impl Future<Output = A>,
    work: impl Future<Output = W>,
) -> (Option<A>, W) {
    let mut work = Box::pin(work);
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
        return (None, done);
    }
    let (announced, done) = tokio::join!(announce, work);
    (Some(announced), done)
}

/// Time for conditions: seconds, UTC.
pub(super) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
