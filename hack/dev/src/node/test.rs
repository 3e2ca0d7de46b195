//! `test`: the suite that needs a real node, within one.
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use holdfast_build::{cargo, ci};
use holdfast_e2e::binaries;
use holdfast_e2e::node::{Family, Spec, missing};
use holdfast_e2e::toolchain::{NodeTools, Tools};
use tokio::signal::unix::{SignalKind, signal};

use super::leftovers::{self, Machine};
use super::{images, report};
use crate::cluster::{Kind, Place};

/// The suite, among the test targets of the workspace.
const SUITE: &str = "node";
/// Begins the names of the tests that need a node whose addresses are of IPv6.
const V6: &str = "ipv6::";

/// Runs the tests, on one node after the other; `arguments` are for them.
///
/// # Errors
/// No node can run here, or a test fails.
pub(super) async fn run(arguments: &[String]) -> Result<()> {
    if let Some(missing) = missing() {
        if ci::is_here() {
            bail!("no node can run here: {missing}");
        }
        println!("skipped, as no node can run here: {missing}");
        return Ok(());
    }
    let place = Place::find(Kind::Node)?;
    place.must_be_free()?;
    Tools::ensure()?;
    let tools = NodeTools::ensure()?;
    let archives = images::write(&place, &binaries::ensure()?, &tools)?;
    let suite = suite()?;
    let report = place.path().join("report");
    let _ = std::fs::remove_file(&report);
    if arguments.is_empty() {
        for (end, took) in leftovers::check(&place)? {
            report::row(&report, &format!("a node ended by {end}, until nothing is there"), took);
        }
    }
    let Some(_lock) = place.lock()? else { bail!("a node is just being started") };
    let before = Machine::now();
    let mut failed = Vec::new();
    for family in families(arguments) {
        let mut spec = Spec::new(place.path(), family, &tools);
        spec.images.clone_from(&archives);
        spec.command = command(&suite, family, arguments);
        spec.environment = [("HOLDFAST_NODE_DIRECTORY".to_owned(), place.path().display().to_string())].into();
        let status = within(spec, &report).await?;
        let traces = Machine::now().differences(&before);
        if !traces.is_empty() {
            failed.push(format!("{family:?} (it leaves traces: {})", traces.join("; ")));
        }
        if !status.success() {
            failed.push(format!("{family:?} ({status})"));
        }
    }
    report::print(&report);
    if !failed.is_empty() {
        bail!("the tests failed on the node of {}", failed.join(" and "));
    }
    Ok(())
}

/// Which nodes the tests need that were asked for.
fn families(arguments: &[String]) -> Vec<Family> {
    let names = arguments.iter().filter(|argument| !argument.starts_with('-'));
    let (v6, v4): (Vec<_>, Vec<_>) = names.partition(|name| name.starts_with(V6));
    match (v4.is_empty(), v6.is_empty()) {
        (false, true) => vec![Family::V4],
        (true, false) => vec![Family::V6],
        _ => vec![Family::V4, Family::V6],
    }
}

/// What runs the tests that belong on such a node.
fn command(suite: &Path, family: Family, arguments: &[String]) -> Vec<String> {
    let mut command = vec![suite.display().to_string(), "--test-threads=1".to_owned()];
    match family {
        Family::V4 => command.extend(["--skip", V6].map(str::to_owned)),
        Family::V6 if arguments.is_empty() => command.push(V6.to_owned()),
        Family::V6 => {}
    }
    command.extend(arguments.iter().cloned());
    command
}

/// Runs the command on a node of its own, and returns its status when nothing of the node is there any more.
async fn within(spec: Spec, report: &Path) -> Result<ExitStatus> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let family = spec.family;
    println!("\nA node of {family:?}; its logs are below {}", spec.logs().display());
    let start = Instant::now();
    let mut node = super::launch(spec)?;
    let status = tokio::select! {
        status = node.ended() => status?,
        _ = interrupt.recv() => { node.stop(); bail!("interrupted") }
        _ = terminate.recv() => { node.stop(); bail!("terminated") }
    };
    let ready = std::fs::read_to_string(node.spec().ready()).unwrap_or_default();
    println!("The node lived for {:.1} s.", start.elapsed().as_secs_f64());
    let end = Instant::now();
    node.stop();
    if let Ok(seconds) = ready.trim().parse().map(Duration::from_secs_f64) {
        report::row(report, &format!("a node of {family:?}, from start to ready"), seconds);
        report::row(report, &format!("a node of {family:?}, until it is gone"), end.elapsed());
    }
    Ok(status)
}

/// Builds the suite and returns its executable: cargo itself must not run within the node.
fn suite() -> Result<PathBuf> {
    let mut command = cargo::command()?;
    command.args(["test", "--workspace", "--test", SUITE, "--no-run"]);
    let build = cargo::Build { name: "the tests of the node", command, packages: &["holdfast-e2e"] };
    let suite = build.run()?.into_iter().find(|artifact| artifact.target == SUITE);
    suite.and_then(|artifact| artifact.executable).context("cargo does not say where the tests of the node are")
}
