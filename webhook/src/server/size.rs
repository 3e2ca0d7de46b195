//! Where a review is read and judged, by its size.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::time::{Instant, timeout_at};

use super::body::SMALL;
use super::undecided::Undecided;

/// Whether a review holds up others while it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Judged before another thread would have woken up, so right here.
    Small,
    /// Judged on a thread of its own, so that neither others wait for it, nor its own answer if it takes too long.
    Large,
}

impl Size {
    /// Of a body of so many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        if bytes > SMALL { Self::Large } else { Self::Small }
    }

    /// Does what may panic, or never end, and does not wait for anything.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undecided> {
        if self == Self::Small {
            // Nothing that was half done is looked at again: what is shared is counted or locked as a whole.
            return catch_unwind(AssertUnwindSafe(work)).map_err(|_| Undecided::Panicked);
        }
        match timeout_at(deadline, tokio::task::spawn_blocking(work)).await {
            Ok(result) => result.map_err(|_| Undecided::Panicked),
            Err(_) => Err(Undecided::TimedOut),
        }
    }
}
