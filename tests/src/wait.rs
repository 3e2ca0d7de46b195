//! Waiting with a bound and a reason.
use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(50);

/// Calls `attempt` every 50 ms until it succeeds, and returns its value.
///
/// A single attempt is cut off when the time is over, so the call ends within `limit` in any case.
///
/// # Errors
/// After `limit`, with `what` was waited for and the text of the last failure.
pub async fn eventually<T, E, F, Fut>(what: &str, limit: Duration, mut attempt: F) -> Result<T>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    let mut last = "the first attempt did not end".to_owned();
    loop {
        let remaining = limit.saturating_sub(start.elapsed());
        match tokio::time::timeout(remaining, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            // The alternate form shows the causes of an anyhow error.
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) => bail!("waited {:.1} s for {what}: {last}", limit.as_secs_f64()),
        }
        if start.elapsed() + PAUSE >= limit {
            bail!("waited {:.1} s for {what}: {last}", limit.as_secs_f64());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
