//! The controller: watches ManagedResources and Secrets, applies what they declare, repairs what others change.
//!
//! Decisions are made in `holdfast_core`; this crate reads, executes and reports.

mod apply;
pub mod config;
mod controllers;
mod desired;
pub mod finalizer_notice;
mod gauges;
mod leader_election;
mod metrics;
mod per_owner;
mod prune;
mod queue;
mod reconcile;
mod setup;
mod state;
mod status;
mod target;
mod watch;

use std::sync::Arc;

use holdfast_runtime::{probes, readiness::Readiness, settings::LoadedSettings, supervise::Supervisor, telemetry};

use crate::config::Args;

/// Runs until SIGTERM or until a task fails; with `--finalizer-notice` until that is printed.
///
/// # Errors
/// Names in one line what could not be started or which task ended.
pub async fn run(loaded: LoadedSettings<Args>) -> anyhow::Result<()> {
    let LoadedSettings { args, warnings } = loaded;
    if args.finalizer_notice {
        finalizer_notice::look_and_print(&args).await;
        return Ok(());
    }
    telemetry::init(&args.log)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if !args.extra_target_namespace.is_empty() {
        tracing::warn!("--extra-target-namespace has no effect: the target is not restricted to namespaces");
    }
    args.check()?;
    let mut supervisor = Supervisor::new()?;
    let listeners = args.probes.bind(args.listen).await?;
    let enabled = args.enabled_controllers();
    if !enabled.is_empty() {
        return controllers::run(&enabled, args, supervisor, listeners).await;
    }
    tracing::warn!("no controller is to run; only probes and metrics are served");
    let served = probes::serve(listeners, Readiness::default(), Arc::default(), supervisor.token());
    supervisor.spawn("probes", served);
    supervisor.run().await
}
