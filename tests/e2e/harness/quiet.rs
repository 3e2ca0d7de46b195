//! Waiting for what must not happen.
use std::time::Duration;

use super::audit::Writes;

/// Waits, since only time can show that something does not happen; `what` says what. Whether it did is asserted afterwards.
pub async fn nothing_happens_for(time: Duration, what: &str) {
    eprintln!("must not happen in the next {:.1} s: {what}", time.as_secs_f64());
    tokio::time::sleep(time).await;
}

impl Writes {
    /// Waits, and fails the test if anything was written since the last call; `what` says what must not happen.
    pub async fn none_for(&mut self, time: Duration, what: &str) {
        nothing_happens_for(time, what).await;
        let written = self.more();
        assert!(written.is_empty(), "{what}: {written:#?}");
    }
}
