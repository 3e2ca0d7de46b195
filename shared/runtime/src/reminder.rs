//! One log line for a trouble that lasts, and a reminder now and then.

use std::time::{Duration, Instant};

/// The same trouble is logged again after this time, unless another one is given.
const REMIND: Duration = Duration::from_secs(30);

/// Logs a trouble when it begins, changes, or has lasted another while: half a minute by default.
#[derive(Debug)]
pub struct Reminder {
    period: Duration,
    last: Option<(String, Instant)>,
}

impl Default for Reminder {
    fn default() -> Self {
        Self::every(REMIND)
    }
}

impl Reminder {
    /// For a trouble that is to be logged again after this time.
    pub fn every(period: Duration) -> Self {
        Self { period, last: None }
    }

    /// The trouble is still there.
    pub fn warn(&mut self, text: &str) {
        if self.is_due(text) {
            tracing::warn!("{text}");
        }
    }

    /// The trouble is still there. Returns whether it is time to say so; for whoever has more to say than what it is.
    pub fn is_due(&mut self, text: &str) -> bool {
        self.is_due_at(text, Instant::now())
    }

    /// The trouble is over. Returns whether there was any.
    pub fn clear(&mut self) -> bool {
        self.last.take().is_some()
    }

    fn is_due_at(&mut self, text: &str, now: Instant) -> bool {
        let is_due = self.last.as_ref().is_none_or(|(last, at)| last != text || now.duration_since(*at) >= self.period);
        if is_due {
            self.last = Some((text.to_owned(), now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_due_only_now_and_then() {
        let (mut reminder, start) = (Reminder::default(), Instant::now());
        let due: Vec<_> = [("a", 0), ("a", 29), ("b", 29), ("b", 58), ("b", 59), ("a", 60)]
            .into_iter()
            .map(|(text, seconds)| reminder.is_due_at(text, start + Duration::from_secs(seconds)))
            .collect();
        assert_eq!(due, [true, false, true, false, true, true]);
        assert!(reminder.clear() && !reminder.clear());
    }
}
