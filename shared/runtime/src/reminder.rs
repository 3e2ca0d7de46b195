//! One log line for a trouble that lasts, and a reminder now and then.

use std::time::{Duration, Instant};

/// The same trouble is logged again after this time.
const REMIND: Duration = Duration::from_secs(30);

/// Logs a trouble when it begins, changes, or has lasted another half a minute.
#[derive(Debug, Default)]
pub struct Reminder {
    last: Option<(String, Instant)>,
}

impl Reminder {
    /// The trouble is still there.
    pub fn warn(&mut self, text: &str) {
        if self.is_due(text, Instant::now()) {
            tracing::warn!("{text}");
        }
    }

    /// The trouble is over. Returns whether there was any.
    pub fn clear(&mut self) -> bool {
        self.last.take().is_some()
    }

    fn is_due(&mut self, text: &str, now: Instant) -> bool {
        let is_due = self.last.as_ref().is_none_or(|(last, at)| last != text || now.duration_since(*at) >= REMIND);
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
            .map(|(text, seconds)| reminder.is_due(text, start + Duration::from_secs(seconds)))
            .collect();
        assert_eq!(due, [true, false, true, false, true, true]);
        assert!(reminder.clear() && !reminder.clear());
    }
}
