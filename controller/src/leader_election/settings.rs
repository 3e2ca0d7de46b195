//! The three durations of an election, and the instants that follow from them.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

/// Durations that fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What others wait; whole seconds, because the Lease says it in seconds.
    pub lease_duration: Duration,
    /// The leader gives up after this time without a renewal; shorter than the lease.
    pub renew_deadline: Duration,
    /// Between renewals, and between the looks of those who wait.
    pub retry_period: Duration,
}

/// Durations that do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A Lease cannot say it.
    #[error("--lease-duration ({0:#}) must be a number of whole seconds above zero")]
    NotWholeSeconds(SignedDuration),
    /// Others would take over while the leader still works.
    #[error("--lease-duration ({0:#}) must be longer than --renew-deadline ({1:#})")]
    LeaseTooShort(SignedDuration, SignedDuration),
    /// A single failure would end the leadership.
    #[error("--renew-deadline ({0:#}) must be longer than 1.2 times --retry-period ({1:#})")]
    DeadlineTooShort(SignedDuration, SignedDuration),
    /// Requests without a pause.
    #[error("--retry-period ({0:#}) must be above zero")]
    NoPeriod(SignedDuration),
}

impl Settings {
    /// Checks the durations, as client-go does.
    pub fn new(lease: SignedDuration, deadline: SignedDuration, retry: SignedDuration) -> Result<Self, SettingsError> {
        if lease.subsec_nanos() != 0 || lease.as_secs() < 1 || i32::try_from(lease.as_secs()).is_err() {
            return Err(SettingsError::NotWholeSeconds(lease));
        }
        if !retry.is_positive() {
            return Err(SettingsError::NoPeriod(retry));
        }
        if lease <= deadline {
            return Err(SettingsError::LeaseTooShort(lease, deadline));
        }
        if deadline.saturating_mul(5) <= retry.saturating_mul(6) {
            return Err(SettingsError::DeadlineTooShort(deadline, retry));
        }
        Ok(Self {
            lease_duration: lease.unsigned_abs(),
            renew_deadline: deadline.unsigned_abs(),
            retry_period: retry.unsigned_abs(),
        })
    }

    /// Limit for one call: two fit into the renew deadline, so that one that hangs does not cost the leadership.
    pub fn call_limit(&self) -> Duration {
        self.renew_deadline / 2
    }

    /// When a leader that sent its last successful renewal at `renewed` gives up: no request begins from then on.
    pub fn give_up(&self, renewed: Instant) -> Instant {
        renewed + self.renew_deadline
    }

    /// When requests of that leader have to be over, whenever they began: halfway between the renew deadline and the end of
    /// the lease, before which nobody takes over.
    pub fn requests_end(&self, renewed: Instant) -> Instant {
        renewed + (self.lease_duration + self.renew_deadline) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lease: &str, deadline: &str, retry: &str) -> String {
        let [lease, deadline, retry] = [lease, deadline, retry].map(|text| text.parse().unwrap());
        Settings::new(lease, deadline, retry).map_or_else(|error| error.to_string(), |_| "ok".to_owned())
    }

    #[test]
    fn durations_have_to_fit_together() {
        for (lease, deadline, retry, expected) in [
            ("15s", "10s", "2s", "ok"),
            ("2s", "1s", "200ms", "ok"),
            ("15s", "2401ms", "2s", "ok"),
            ("10s", "10s", "2s", "--lease-duration (10s) must be longer than --renew-deadline (10s)"),
            ("15s", "2400ms", "2s", "--renew-deadline (2s 400ms) must be longer than 1.2 times --retry-period (2s)"),
            ("1500ms", "1s", "200ms", "--lease-duration (1s 500ms) must be a number of whole seconds above zero"),
            ("0s", "-1s", "200ms", "--lease-duration (0s) must be a number of whole seconds above zero"),
            ("1000000h", "10s", "2s", "--lease-duration (1000000h) must be a number of whole seconds above zero"),
            ("15s", "10s", "0s", "--retry-period (0s) must be above zero"),
            ("15s", "-10s", "2s", "--renew-deadline (10s ago) must be longer than 1.2 times --retry-period (2s)"),
        ] {
            assert_eq!(check(lease, deadline, retry), expected, "{lease} {deadline} {retry}");
        }
    }
}
