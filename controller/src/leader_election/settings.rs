//! Flags: who we are, where the Lease lies, and the three durations with the instants that follow from them.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use clap::{ArgAction, Args};
use holdfast_runtime::flags::signed_duration;
use jiff::SignedDuration;
use tokio::time::Instant;

/// The original's Lease, so that it and we exclude each other during a migration.
const LEASE_NAME: &str = "gardener-resource-manager";

/// Flags about leader election. Defaults and meaning are the original's.
#[derive(Clone, Debug, Args)]
pub struct ElectionArgs {
    /// Whether to work only while holding the Lease. Needed with more than one replica.
    #[arg(long, env = "HOLDFAST_LEADER_ELECT", default_value = "true", default_missing_value = "true")]
    #[arg(action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub leader_elect: bool,

    /// How long other replicas wait before they take an abandoned Lease; whole seconds.
    #[arg(long, env = "HOLDFAST_LEASE_DURATION", default_value = "15s", value_name = "DURATION", value_parser = signed_duration)]
    pub lease_duration: SignedDuration,

    /// The leader gives up when it has failed to renew the Lease for this long.
    #[arg(long, env = "HOLDFAST_RENEW_DEADLINE", default_value = "10s", value_name = "DURATION", value_parser = signed_duration)]
    pub renew_deadline: SignedDuration,

    /// How often the leader renews the Lease, and other replicas look at it.
    #[arg(long, env = "HOLDFAST_RETRY_PERIOD", default_value = "2s", value_name = "DURATION", value_parser = signed_duration)]
    pub retry_period: SignedDuration,

    /// Name of the Lease.
    #[arg(long, env = "HOLDFAST_LEASE_NAME", default_value = LEASE_NAME, value_name = "NAME")]
    pub lease_name: String,

    /// Namespace of the Lease, and of the Secret with the key of the digests. Absent: POD_NAMESPACE.
    #[arg(long, env = "HOLDFAST_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Name of this replica in the Lease. No other process may have it. Absent: host name and a random part. A replica that
    /// finds its own name in the Lease takes the Lease for that of its former life and does not wait.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub lease_identity: Option<String>,
}

/// The flags make no election.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Durations that cannot be.
    #[error("leader election: {0}")]
    Settings(#[from] SettingsError),
    /// No namespace.
    #[error("leader election: neither --lease-namespace nor POD_NAMESPACE says where the Lease lies")]
    NoNamespace,
}

impl ElectionArgs {
    pub(super) fn settings(&self) -> Result<Settings, SettingsError> {
        Settings::new(self.lease_duration, self.renew_deadline, self.retry_period)
    }

    pub(super) fn namespace(&self) -> Result<&str, SetupError> {
        self.home().ok_or(SetupError::NoNamespace)
    }

    /// The namespace of the source cluster in which our own objects lie, if it is known.
    pub fn home(&self) -> Option<&str> {
        given(self.lease_namespace.as_ref())
    }

    /// Checks what no single flag can tell.
    ///
    /// # Errors
    /// The flags make no election.
    pub fn check(&self) -> Result<(), SetupError> {
        if self.leader_elect {
            self.settings()?;
            self.namespace()?;
        }
        Ok(())
    }

    /// The name of the pod outlives a restart of its container, so that the next container goes on at once with what the
    /// last one held; pods never share a name. The random part does the same for processes that are not pods.
    pub(super) fn identity(&self) -> String {
        if let Some(identity) = given(self.lease_identity.as_ref()) {
            return identity.to_owned();
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}_{:016x}", host.trim(), RandomState::new().hash_one(std::process::id()))
    }
}

fn given(value: Option<&String>) -> Option<&str> {
    value.map(|value| value.trim()).filter(|value| !value.is_empty())
}

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
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        election: ElectionArgs,
    }

    fn parse(flags: &[&str]) -> ElectionArgs {
        Program::try_parse_from([&["program"], flags].concat()).unwrap().election
    }

    #[test]
    fn defaults_are_the_originals() {
        let args = parse(&["--lease-namespace=garden"]);
        assert!(args.leader_elect);
        assert_eq!((args.lease_name.as_str(), args.namespace().unwrap()), ("gardener-resource-manager", "garden"));
        let settings = args.settings().unwrap();
        assert_eq!(
            (settings.lease_duration.as_secs(), settings.renew_deadline.as_secs(), settings.retry_period.as_secs()),
            (15, 10, 2)
        );
    }

    #[test]
    fn the_switch_is_read_with_and_without_a_value() {
        for (flag, expected) in
            [("--leader-elect", true), ("--leader-elect=true", true), ("--leader-elect=false", false)]
        {
            assert_eq!(parse(&[flag]).leader_elect, expected, "{flag}");
        }
    }

    #[test]
    fn identities_are_given_or_unique() {
        assert_eq!(parse(&["--lease-identity=grm-0"]).identity(), "grm-0");
        let nameless = ElectionArgs { lease_identity: Some(String::new()), ..parse(&[]) };
        assert_ne!(nameless.identity(), nameless.identity());
    }

    #[test]
    fn a_namespace_is_needed() {
        let args = ElectionArgs { lease_namespace: Some(" ".to_owned()), ..parse(&[]) };
        assert!(matches!(args.namespace(), Err(SetupError::NoNamespace)));
    }

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
