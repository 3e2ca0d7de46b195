//! Command line and environment.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use holdfast_core::{
    api::{Mode, Repair},
    names,
};
use holdfast_runtime::{connect::ConnectArgs, telemetry::LogArgs};

use crate::election::ElectionArgs;

/// Applies the manifests that ManagedResources name and holds the objects equal to them.
#[derive(Clone, Debug, Parser)]
#[command(name = "holdfast-controller", version)]
pub struct Args {
    /// Connection to the source cluster, where ManagedResources and Secrets live.
    #[command(flatten)]
    pub source: ConnectArgs,

    /// Kubeconfig of the target cluster, where the objects live; absent: the source cluster.
    #[arg(long, env = "HOLDFAST_TARGET_KUBECONFIG", value_name = "FILE")]
    pub target_kubeconfig: Option<PathBuf>,

    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "HOLDFAST_PROBES_ADDRESS", default_value = "0.0.0.0:8081")]
    pub probes_address: SocketAddr,

    /// Class of ManagedResources to take care of; `*` for all.
    #[arg(long, env = "HOLDFAST_CLASS", default_value = names::DEFAULT_CLASS)]
    pub class: String,

    /// Value of the label resources.gardener.cloud/managed-by on every object.
    #[arg(long, env = "HOLDFAST_MANAGED_BY", default_value = names::MANAGED_BY_DEFAULT)]
    pub managed_by: String,

    /// Prefix of the origin annotation, to tell several source clusters of one target apart.
    #[arg(long, env = "HOLDFAST_CLUSTER_ID", default_value = "")]
    pub cluster_id: String,

    /// Protection mode of ManagedResources that ask for none.
    #[arg(long, env = "HOLDFAST_DEFAULT_PROTECTION", value_enum, ignore_case = true, default_value = "deny")]
    pub default_protection: ModeArg,

    /// When objects that others changed are put right, where the ManagedResource does not say: `watch`, at once; `resync`, at
    /// the next sync, change of the ManagedResource or its Secrets, or gardener.cloud/operation=reconcile.
    #[arg(long, env = "HOLDFAST_REPAIR", value_enum, ignore_case = true, default_value = "watch")]
    pub repair: RepairArg,

    /// When objects that are not declared any more are deleted: `always`, whatever became of the others; `on-success`, not
    /// while an object cannot be applied.
    #[arg(long, env = "HOLDFAST_PRUNE", value_enum, ignore_case = true, default_value = "always")]
    pub prune: PruneArg,

    /// How often every object is applied again even if nothing is known to have changed.
    #[arg(long, env = "HOLDFAST_RESYNC_PERIOD", default_value = "1h", value_parser = duration)]
    pub resync_period: Duration,

    /// When to look again at objects that are being deleted, should no event come.
    #[arg(long, env = "HOLDFAST_PENDING_PERIOD", default_value = "5s", value_parser = duration)]
    pub pending_period: Duration,

    /// ManagedResources reconciled at a time.
    #[arg(long, env = "HOLDFAST_CONCURRENT_SYNCS", default_value = "5")]
    pub concurrent_syncs: NonZeroUsize,

    /// Requests to the target in flight at a time, over all ManagedResources.
    #[arg(long, env = "HOLDFAST_CONCURRENT_REQUESTS", default_value = "16")]
    pub concurrent_requests: NonZeroUsize,

    /// Requests a second that passes send, over all ManagedResources; 0 for no limit. A pause that the API server asks for
    /// (429, Retry-After) is kept in any case.
    #[arg(long, env = "HOLDFAST_QPS", default_value = "0")]
    pub qps: u32,

    /// Requests that may be sent at once before --qps counts.
    #[arg(long, env = "HOLDFAST_BURST", default_value = "100")]
    pub burst: u32,

    /// Leader election.
    #[command(flatten)]
    pub election: ElectionArgs,

    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// [`Mode`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ModeArg {
    /// Edits are refused.
    Deny,
    /// Edits are undone before they are stored.
    Revert,
    /// Edits pass with a warning.
    Warn,
    /// Edits pass.
    Off,
}

/// [`Repair`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RepairArg {
    /// At once, from a watch.
    Watch,
    /// At the next sync.
    Resync,
}

impl From<RepairArg> for Repair {
    fn from(repair: RepairArg) -> Self {
        match repair {
            RepairArg::Watch => Self::Watch,
            RepairArg::Resync => Self::Resync,
        }
    }
}

/// When objects that are not declared any more are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PruneArg {
    /// Whatever became of the others.
    Always,
    /// Not while an object cannot be applied.
    OnSuccess,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Deny => Self::Deny,
            ModeArg::Revert => Self::Revert,
            ModeArg::Warn => Self::Warn,
            ModeArg::Off => Self::Off,
        }
    }
}

/// A duration such as `1h`, `90s` or `1h30m`; must be above zero.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    let duration = Duration::try_from(parsed).map_err(|_| "must not be negative".to_owned())?;
    if duration.is_zero() { Err("must be above zero".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused() {
        assert_eq!(duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(duration("100ms").unwrap(), Duration::from_millis(100));
        for bad in ["", "5", "-1s", "0s", "1 fortnight"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
