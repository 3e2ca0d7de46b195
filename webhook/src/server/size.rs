//! Where a review is parsed and decided, by its size.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::time::{Instant, timeout_at};

use super::body::SMALL;
use super::undecided::Undecided;

/// Whether a review could delay others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Decided before another thread would wake up, so on this one.
    Small,
    /// Decided on a blocking thread, so that it delays neither other reviews nor its own answer at the deadline.
    Large,
}

impl Size {
    /// The size of a body of so many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        if bytes > SMALL { Self::Large } else { Self::Small }
    }

    /// Runs work that may panic or take long, and does not wait for anything.
    ///
    /// # Errors
    /// It panicked, or a large one took too long.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undecided> {
        if self == Self::Small {
            // Shared state is safe after a panic: it is atomic or behind a lock.
            return catch_unwind(AssertUnwindSafe(work)).map_err(|_| Undecided::Panicked);
        }
        match timeout_at(deadline, tokio::task::spawn_blocking(work)).await {
            Ok(result) => result.map_err(|_| Undecided::Panicked),
            Err(_) => Err(Undecided::TimedOut),
        }
    }
}
