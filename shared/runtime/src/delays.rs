//! How long a watch waits before another try.

use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;

/// What happens in the meantime is not known, and edits of it pass; and most failures are over at once, such as that of a
/// definition that was just created ("storage is (re)initializing").
const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// A failure after this much quiet counts as a new one.
const QUIET: Duration = Duration::from_secs(60);

/// Doubling delays with a bound; from the start again after a quiet time. For `WatchStreamExt::backoff`.
#[derive(Debug)]
pub struct Delays {
    next: Duration,
    last: Option<Instant>,
}

impl Default for Delays {
    fn default() -> Self {
        Self { next: SHORTEST_DELAY, last: None }
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last.is_some_and(|last| last.elapsed() > QUIET) {
            self.reset();
        }
        self.last = Some(Instant::now());
        let delay = self.next;
        self.next = (delay * 2).min(LONGEST_DELAY);
        Some(delay)
    }
}

impl Backoff for Delays {
    fn reset(&mut self) {
        self.next = SHORTEST_DELAY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_a_bound() {
        let delays: Vec<_> = Delays::default().take(8).map(|delay| delay.as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }
}
