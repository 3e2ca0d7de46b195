//! Whether the server answers at all.

use std::time::Duration;

use tokio::time::Instant;

/// The first question since the last good answer. An idle connection is no bad sign; questions without an answer are.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    since: Option<Instant>,
    is_doubted: bool,
}

impl Unanswered {
    /// A request is sent.
    pub(super) fn asks(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// An answer came.
    pub(super) fn good(&mut self) {
        self.since = None;
    }

    /// Something failed, and nobody knows whether others would.
    pub(super) fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// Whether somebody doubts; once.
    pub(super) fn take_doubt(&mut self) -> bool {
        std::mem::take(&mut self.is_doubted)
    }

    /// For how long no question has got a good answer; `None` if nothing was asked since the last.
    pub(super) fn missing(&self, now: Instant) -> Option<Duration> {
        self.since.map(|since| now.duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_questions_without_an_answer_are_a_bad_sign() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut unanswered = Unanswered::default();
        assert_eq!(unanswered.missing(start + second * 100), None, "nothing was asked");
        unanswered.asks(start);
        unanswered.asks(start + second * 5);
        assert_eq!(unanswered.missing(start + second * 7), Some(second * 7));
        unanswered.good();
        assert_eq!(unanswered.missing(start + second * 100), None, "silence after an answer");
        unanswered.asks(start + second * 100);
        assert_eq!(unanswered.missing(start + second * 101), Some(second));
    }
}
