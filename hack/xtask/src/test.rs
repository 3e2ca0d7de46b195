//! `cargo xtask test`: unit and integration tests, then the end-to-end suite on a real control plane.
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use holdfast_build::toolchain::Tools;
use holdfast_build::{binaries, cargo};
use serde_json::Value;

use crate::phases::{Phases, shown};
use crate::program::Program;

/// The end-to-end suite, among the test targets of the workspace.
pub(crate) const SUITE: &str = "e2e";
/// The suite that needs a real node, likewise.
const NODE_SUITE: &str = "node";
/// Begins the name of the soak test.
pub(crate) const SOAK: &str = "soak::";

/// Options of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Leave out the end-to-end tests
    #[arg(long)]
    quick: bool,
    /// Run the end-to-end tests only, with these arguments, such as a part of their names
    #[arg(last = true, conflicts_with = "quick")]
    arguments: Vec<String>,
}

impl Test {
    /// Runs everything, up to the first phase that fails.
    ///
    /// # Errors
    /// Something does not build, or a test fails.
    pub(crate) fn run(self) -> Result<()> {
        let mut phases = Phases::new();
        self.phases(&mut phases)?;
        phases.finish()
    }

    fn phases(&self, phases: &mut Phases) -> Result<()> {
        if !self.quick {
            let start = Instant::now();
            Tools::ensure()?;
            phases.add("tools", start.elapsed(), false);
            let shown = shown("cargo", &binaries::build_arguments());
            if !phases.run("controller and webhook", &shown, binaries::build_command()?)? {
                return Ok(());
            }
        }
        let all = ["test", "--workspace", "--no-run"].map(str::to_owned);
        if self.arguments.is_empty() {
            // Apart, so that the times of the tests are those of the tests. Without the suite, it still has to compile.
            let mut fast = ["test", "--workspace", "--no-fail-fast", "--lib", "--bins"].map(str::to_owned).to_vec();
            for target in test_targets()?.into_iter().filter(|target| ![SUITE, NODE_SUITE].contains(&target.as_str())) {
                fast.extend(["--test".to_owned(), target]);
            }
            let documentation = ["test", "--workspace", "--doc"].map(str::to_owned);
            // What `binaries::dynamic` takes.
            let programs = ["build", "--workspace", "--bins"].map(str::to_owned);
            if !run(phases, "build of the tests", &all)?
                || !run(phases, "programs whose clocks can be changed", &programs)?
                || !run(phases, "unit and integration tests", &fast)?
                || !run(phases, "examples in the documentation", &documentation)?
            {
                return Ok(());
            }
        }
        if !self.quick {
            let suite = ["test", "--workspace", "--test", SUITE, "--"].map(str::to_owned);
            let mut most = suite.to_vec();
            // Most of the time is waiting, so more tests than cores.
            most.push("--test-threads=8".to_owned());
            if !self.arguments.is_empty() {
                // What few tests measured is worth a look; of hundreds, what failed.
                most.push("--show-output".to_owned());
                most.extend_from_slice(&self.arguments);
                run(phases, "end-to-end tests", &most)?;
                return Ok(());
            }
            // Alone, because it keeps the machine busy for minutes, which others would take for a fault.
            most.extend(["--skip", SOAK].map(str::to_owned));
            if run(phases, "end-to-end tests", &most)? && on_a_node(phases)? {
                run(phases, "soak test", &[&suite[..], &[SOAK.to_owned(), "--nocapture".to_owned()]].concat())?;
            }
        }
        Ok(())
    }
}

/// The tests that need a real node, where one can run; in CI it has to.
fn on_a_node(phases: &mut Phases) -> Result<bool> {
    let mut command = Program::DEV.command()?;
    command.args(["node", "test"]).env(binaries::DIRECTORY, binaries::directory());
    phases.run("tests on a real node", "cargo xtask node test", command)
}

fn run(phases: &mut Phases, name: &str, arguments: &[String]) -> Result<bool> {
    let mut command = cargo::command()?;
    command.args(arguments).env(binaries::DIRECTORY, binaries::directory());
    phases.run(name, &shown("cargo", arguments), command)
}

/// The names of all files that hold integration tests.
fn test_targets() -> Result<Vec<String>> {
    let packages = cargo::packages()?;
    let targets = packages.iter().filter_map(|package| package["targets"].as_array()).flatten();
    let mut names: Vec<String> = targets
        .filter(|target| target["kind"].as_array().is_some_and(|kinds| kinds.contains(&Value::from("test"))))
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}
