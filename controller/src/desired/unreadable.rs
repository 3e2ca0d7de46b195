//! Secrets that the server cannot give out although it does well otherwise, such as those whose encryption key is lost.
//!
//! What failed once may be well at the next attempt, and where nothing does well, that is an outage: what a ManagedResource
//! desires is not known then, and everybody waits until it is. A Secret that fails again and again while others do well is a
//! matter of those alone that reference it.

use std::time::Duration;

use holdfast_core::key::NamespacedName;
use holdfast_runtime::{
    call::{CallError, explain},
    traffic::{Resource, Traffic},
};
use tokio::time::Instant;

use crate::per_owner::PerOwner;

/// Attempts that fail while others do well, and how long they go on at least, until that is not waited for any more.
const MOST_FAILURES: u32 = 3;
const LASTS: Duration = Duration::from_secs(4);

/// Secrets whose last attempt failed, by the ManagedResources that reference them.
pub(super) struct Unreadable {
    traffic: Traffic,
    failing: PerOwner<String, Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    /// Those while others did well.
    failures: u32,
    words: String,
}

impl Failing {
    fn new(since: Instant) -> Self {
        Self { since, last: since, failures: 0, words: String::new() }
    }

    /// One more attempt has failed. Returns whether that lasts.
    fn fails(&mut self, is_rest_well: bool, now: Instant) -> bool {
        self.last = now;
        if is_rest_well {
            self.failures = self.failures.saturating_add(1);
        }
        self.failures >= MOST_FAILURES && now.duration_since(self.since) >= LASTS
    }
}

impl Unreadable {
    /// `traffic` is what is sent to the cluster of the Secrets.
    pub(super) fn new(traffic: Traffic) -> Self {
        Self { traffic, failing: PerOwner::default() }
    }

    /// An attempt that began at `begun` has failed. Returns what the server says if that lasts.
    pub(super) fn fails(&self, mr: &NamespacedName, secret: &str, begun: Instant, error: &CallError) -> Option<String> {
        let is_withheld = error.deferred().is_some();
        let words = words(error)?;
        let mut failing = self.failing.lock();
        let failing = failing.entry(mr.clone()).or_default();
        let failing = failing.entry(secret.to_owned()).or_insert_with(|| Failing::new(begun));
        // What is said of a hold repeats an answer that has come before, as a rule.
        if !is_withheld || failing.words.is_empty() {
            failing.words = words;
        }
        let is_rest_well = self.traffic.sees_rest_answer(&Resource::new("", "secrets"), failing.last);
        failing.fails(is_rest_well, Instant::now()).then(|| failing.words.clone())
    }

    /// It was read, or is not there.
    pub(super) fn is_well(&self, mr: &NamespacedName, secret: &str) {
        self.failing.drop_one(mr, secret);
    }

    /// Of the ManagedResource, only these are of interest.
    pub(super) fn retain(&self, mr: &NamespacedName, is_referenced: impl Fn(&str) -> bool) {
        self.failing.retain(mr, |secret| is_referenced(secret));
    }

    /// The ManagedResource is gone.
    pub(super) fn forget(&self, mr: &NamespacedName) {
        self.failing.forget(mr);
    }
}

/// What may be told of a failure; `None` where no answer came that is about this Secret.
fn words(error: &CallError) -> Option<String> {
    if let Some(deferred) = error.deferred() {
        return Some(deferred.words.clone());
    }
    let CallError::Failed { cause: cause @ kube::Error::Api(status), .. } = error else { return None };
    if status.code < 500 {
        return None;
    }
    // The API server's own words do not quote what is stored. Others pass on who knows what.
    let is_own = status.details.is_some() || !status.reason.contains(' ');
    Some(if is_own { explain(cause) } else { format!("the server answers {}", status.code) })
}

#[cfg(test)]
mod tests {
    use holdfast_runtime::deferred::Deferred;
    use kube::core::Status;

    use super::*;

    fn answer(code: u16, reason: &str) -> CallError {
        let status =
            Status { code, reason: reason.into(), message: "unable to\n transform key".into(), ..Status::default() };
        CallError::Failed { what: "get Secret n/s".into(), cause: kube::Error::Api(status.boxed()) }
    }

    fn withheld() -> CallError {
        let deferred = Deferred { words: "withheld".into(), wait: LASTS, is_brief: false, is_for_all: true };
        CallError::Failed { what: "get Secret n/s".into(), cause: deferred.into() }
    }

    fn timeout() -> CallError {
        CallError::TimedOut { what: "get Secret n/s".into(), limit: LASTS }
    }

    fn unreachable() -> CallError {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        CallError::Failed { what: "get Secret n/s".into(), cause: kube::Error::Service(Box::new(refused)) }
    }

    #[test]
    fn what_is_told_of_a_secret_is_what_the_server_says_of_it() {
        for (case, error, expected) in [
            ("an answer", answer(500, "InternalError"), Some("unable to transform key")),
            ("another one", answer(503, "ServiceUnavailable"), Some("unable to transform key")),
            ("not from the API server", answer(502, "Failed to parse error data"), Some("the server answers 502")),
            ("on hold", withheld(), Some("withheld")),
            ("too much to do", answer(429, "TooManyRequests"), None),
            ("a refusal", answer(403, "Forbidden"), None),
            ("silence", timeout(), None),
            ("out of reach", unreachable(), None),
        ] {
            assert_eq!(words(&error).as_deref(), expected, "{case}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasts_while_others_do_well_is_told() {
        let begin = Instant::now();
        for (case, attempts, expected) in [
            ("again and again", &[(0, true), (2, true), (4, true), (6, true)][..], &[false, false, true, true][..]),
            ("nothing does well", &[(0, false), (10, false), (20, false), (60, false)], &[false; 4]),
            ("an outage, and then", &[(0, false), (30, false), (32, true), (34, true)], &[false; 4]),
            ("at once", &[(0, true), (0, true), (0, true), (3, true)], &[false; 4]),
            (
                "others are heard of now and then",
                &[(0, false), (2, true), (4, false), (6, true), (8, true)],
                &[false, false, false, false, true],
            ),
        ] {
            let mut failing = Failing::new(begin);
            let results = attempts.iter().map(|(at, well)| failing.fails(*well, begin + Duration::from_secs(*at)));
            assert_eq!(results.collect::<Vec<_>>(), expected, "{case}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_well_or_gone_is_forgotten() {
        let unreadable = Unreadable::new(Traffic::cautious());
        let (mr, now) = (NamespacedName::new("n", "a"), Instant::now());
        for secret in ["s", "t"] {
            // Nobody else has ever answered.
            assert_eq!(unreadable.fails(&mr, secret, now, &answer(500, "InternalError")), None);
        }
        assert_eq!(unreadable.fails(&mr, "u", now, &timeout()), None);
        assert_eq!(unreadable.failing.lock()[&mr].len(), 2, "silence is no answer");
        let _ = unreadable.fails(&mr, "s", now, &withheld());
        assert_eq!(unreadable.failing.lock()[&mr]["s"].words, "unable to transform key", "what it said itself");
        unreadable.is_well(&mr, "s");
        unreadable.retain(&mr, |secret| secret != "t");
        assert!(unreadable.failing.lock().is_empty());
        let _ = unreadable.fails(&mr, "s", now, &withheld());
        unreadable.forget(&mr);
        assert!(unreadable.failing.lock().is_empty());
    }
}
