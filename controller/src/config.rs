//! Command line, environment and configuration file.

mod file;

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::{ArgAction, Parser, ValueEnum};
use holdfast_core::names;
use holdfast_runtime::{
    connect::ConnectArgs,
    flags::{ModeArg, RepairArg, label_value, positive_duration},
    listen::ListenArgs,
    owner::OwnerArgs,
    probes::ProbeArgs,
    settings::FileArgs,
    telemetry::LogArgs,
};

use crate::leader_election::ElectionArgs;

pub use file::SOURCES;

/// Applies the manifests that ManagedResources name, and repairs the objects when others change them.
#[derive(Clone, Debug, Parser)]
#[command(name = "holdfast-controller", version)]
pub struct Args {
    /// Configuration file.
    #[command(flatten)]
    pub file: FileArgs,

    /// Prints which ManagedResources keep the finalizer of this class, and how to remove it. Then exits, always with code 0. For
    /// use before Holdfast is uninstalled.
    #[arg(long)]
    pub finalizer_notice: bool,

    /// Connection to the source cluster, where ManagedResources and Secrets live.
    #[command(flatten)]
    pub source: ConnectArgs,

    /// Kubeconfig of the target cluster, where the objects live; absent: the source cluster.
    #[arg(long, env = "HOLDFAST_TARGET_KUBECONFIG", value_name = "FILE")]
    pub target_kubeconfig: Option<PathBuf>,

    /// Works only on ManagedResources and Secrets in these namespaces of the source cluster; absent: all. With this flag,
    /// rights in these namespaces suffice.
    #[arg(long, env = "HOLDFAST_SOURCE_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE")]
    pub source_namespaces: Vec<String>,

    /// Accepted because the original has it, without effect: the target is not restricted to namespaces.
    #[arg(long, hide = true, value_name = "NAMESPACE")]
    pub extra_target_namespace: Vec<String>,

    /// Disable these controllers. With all of them disabled, the process serves probes and metrics only.
    #[arg(long, env = "HOLDFAST_DISABLE_CONTROLLERS", value_enum, value_delimiter = ',', value_name = "CONTROLLER")]
    pub disable_controllers: Vec<ControllerArg>,

    /// Addresses to listen on.
    #[command(flatten)]
    pub listen: ListenArgs,

    /// Probes and metrics.
    #[command(flatten)]
    pub probes: ProbeArgs,

    /// Works on ManagedResources of this class; `*` for all.
    #[arg(long, env = "HOLDFAST_CLASS", default_value = names::DEFAULT_CLASS)]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub class: String,

    /// Value of the label resources.gardener.cloud/managed-by on every object.
    #[arg(long, env = "HOLDFAST_MANAGED_BY", default_value = names::MANAGED_BY_DEFAULT, value_parser = label_value)]
    pub managed_by: String,

    /// Prefix of the origin annotation. It tells several source clusters of one target apart. `<cluster>`: what ConfigMap
    /// kube-system/cluster-identity of the source cluster says; `<default>`: the same, or nothing if there is none.
    #[arg(long, env = "HOLDFAST_CLUSTER_ID", default_value = "")]
    pub cluster_id: String,

    /// Protection mode of ManagedResources that set none.
    #[arg(long, env = "HOLDFAST_DEFAULT_PROTECTION", value_enum, ignore_case = true, default_value = "deny")]
    pub default_protection: ModeArg,

    /// An admission policy protects objects, too. The controller marks the objects of which the policy cannot tell what others
    /// may change (spec.protection.ignorePaths, declared scope).
    #[arg(long, env = "HOLDFAST_GUARD")]
    pub guard: bool,

    /// When to repair drift, unless the ManagedResource says otherwise. `watch`: at once. `resync`: at the next sync, change of
    /// the ManagedResource or its Secrets, or gardener.cloud/operation=reconcile.
    #[arg(long, env = "HOLDFAST_REPAIR", value_enum, ignore_case = true, default_value = "watch")]
    pub repair: RepairArg,

    /// When to delete objects that are not declared any more. `always`: whether or not the other objects could be applied.
    /// `on-success`: not while an object cannot be applied.
    #[arg(long, env = "HOLDFAST_PRUNE", value_enum, ignore_case = true, default_value = "always")]
    pub prune: PruneArg,

    /// A garbage collector runs in the target and deletes ConfigMaps and Secrets with the label
    /// resources.gardener.cloud/garbage-collectable-reference when nothing refers to them. The controller then leaves those to it
    /// that are not declared any more. This program has no garbage collector.
    #[arg(long, env = "HOLDFAST_GARBAGE_COLLECTOR", default_value = "false", default_missing_value = "true")]
    #[arg(action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    pub garbage_collector: bool,

    /// How often to apply every object again although nothing seems to have changed.
    #[arg(long, env = "HOLDFAST_RESYNC_PERIOD", default_value = "1h", value_parser = positive_duration, value_name = "DURATION")]
    pub resync_period: Duration,

    /// How often to look at objects that are being deleted, in case no event comes.
    #[arg(long, env = "HOLDFAST_PENDING_PERIOD", default_value = "5s", value_parser = positive_duration, value_name = "DURATION")]
    pub pending_period: Duration,

    /// How many ManagedResources to reconcile at a time.
    #[arg(long, env = "HOLDFAST_CONCURRENT_SYNCS", default_value = "5")]
    pub concurrent_syncs: NonZeroUsize,

    /// How many requests to the target may be in flight, for all ManagedResources together.
    #[arg(long, env = "HOLDFAST_CONCURRENT_REQUESTS", default_value = "16")]
    pub concurrent_requests: NonZeroUsize,

    /// How many requests a second to send for all ManagedResources together; 0: no limit. The controller always obeys a pause
    /// that the API server asks for (429, Retry-After): for the resource that it is about, or for all if it names none.
    #[arg(long, env = "HOLDFAST_QPS", default_value = "0")]
    pub qps: u32,

    /// How many requests may be sent at once before --qps counts.
    #[arg(long, env = "HOLDFAST_BURST", default_value = "100")]
    pub burst: u32,

    /// Turn unready when an API server has given no good answer for this long although something was asked.
    #[arg(long, env = "HOLDFAST_UNANSWERED_LIMIT", hide = true, default_value = "1m", value_parser = positive_duration)]
    pub unanswered_limit: Duration,

    /// Leader election.
    #[command(flatten)]
    pub election: ElectionArgs,

    /// Ownership of the Secrets and Lease that Holdfast creates.
    #[command(flatten)]
    pub owner: OwnerArgs,

    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

impl Args {
    /// The controllers that are to run.
    pub fn enabled_controllers(&self) -> Vec<ControllerArg> {
        let all = ControllerArg::value_variants().iter().copied();
        all.filter(|controller| !self.disable_controllers.contains(controller)).collect()
    }

    /// Checks what no single setting can tell.
    ///
    /// # Errors
    /// Settings do not fit together.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.enabled_controllers().is_empty() {
            // There is nothing to lead.
            return Ok(());
        }
        let checked = self.election.check();
        match &self.file.config {
            Some(path) => {
                checked.with_context(|| format!("leaderElection in {}, flags and environment", path.display()))
            }
            None => Ok(checked?),
        }
    }
}

/// What can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ControllerArg {
    /// Applies the objects of ManagedResources and holds them.
    #[value(name = "managedresource")]
    ManagedResource,
}

/// When objects that are not declared any more are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PruneArg {
    /// Whatever became of the others.
    Always,
    /// Not while an object cannot be applied.
    OnSuccess,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
        let parse = |flags: &[&str]| Args::try_parse_from([&["holdfast-controller"], flags].concat());
        let args = parse(&["--source-namespaces=a,b", "--disable-controllers=managedresource"]).unwrap();
        assert_eq!(args.source_namespaces, ["a", "b"]);
        assert_eq!(args.enabled_controllers(), []);
        assert_eq!(parse(&[]).unwrap().enabled_controllers(), [ControllerArg::ManagedResource]);
        for (flags, expected) in
            [(&[][..], false), (&["--garbage-collector"], true), (&["--garbage-collector=false"], false)]
        {
            assert_eq!(parse(flags).unwrap().garbage_collector, expected, "{flags:?}");
        }
        for bad in ["--class=", "--managed-by=a b", "--resync-period=0s", "--disable-controllers=x"] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn periods_may_be_short() {
        let flags = ["holdfast-controller", "--resync-period=100ms", "--pending-period=50ms"];
        let args = Args::try_parse_from(flags).unwrap();
        assert_eq!((args.resync_period.as_millis(), args.pending_period.as_millis()), (100, 50));
    }
}
