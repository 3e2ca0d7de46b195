//! `cargo xtask lint`: order of modules, words of names, format, clippy, each crate for itself, generated files, chart.
mod layers;
mod words;

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use holdfast_build::toolchain::Tools;
use holdfast_build::{cache, cargo, leash};

use layers::Package;

use crate::phases::{Phases, shown};
use crate::program::Program;

/// Programs that are built with the features of the whole workspace only.
const TOGETHER: [&str; 2] = ["holdfast-bench", "holdfast-dev"];

/// What is wrong with the sources of packages below a directory.
type Check = fn(&Path, &[Package]) -> Result<Vec<String>>;

/// Options of `cargo xtask lint`.
#[derive(Debug, Args)]
pub(crate) struct Lint {}

impl Lint {
    /// Runs everything, also after a failure.
    ///
    /// # Errors
    /// Something failed, or a component of the Rust toolchain is missing.
    pub(crate) fn run() -> Result<()> {
        for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
            must_have(subcommand, component)?;
        }
        let mut phases = Phases::new();
        let packages = cargo::packages()?;
        let sources: Vec<Package> = packages.iter().map(Package::of).collect::<Result<_>>()?;
        for (name, complaints) in [("layers", layers::complaints as Check), ("words", words::complaints)] {
            let start = Instant::now();
            let is_clean = report(name, &complaints(&cache::workspace(), &sources)?);
            phases.add(name, start.elapsed(), !is_clean);
        }
        let mut run = |name: &str, arguments: &[&str]| -> Result<bool> {
            let mut command = cargo::command()?;
            command.args(arguments);
            phases.run(name, &shown("cargo", arguments), command)
        };
        run("format", &["fmt", "--all", "--check"])?;
        run("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
        // Only by name: it is no test that runs without its node.
        let node = ["clippy", "--workspace", "--test", "node", "--", "-D", "warnings"];
        run("clippy of the tests on a node", &node)?;
        // Each for itself: in a build of the whole workspace, one crate gets the features that another asked for.
        for package in &packages {
            let name = package["name"].as_str().context("a package without a name")?;
            if TOGETHER.contains(&name) {
                continue;
            }
            run(&format!("{name} alone"), &["check", "--package", name])?;
        }
        let mut generated = Program::DEV.command()?;
        generated.args(["gen", "--check"]);
        phases.run("generated files", "cargo xtask gen --check", generated)?;
        let mut dependencies = Program::DEV.command()?;
        dependencies.arg("dependencies");
        phases.run("licences, bans and sources", "cargo xtask dependencies", dependencies)?;
        let start = Instant::now();
        let tools = Tools::ensure()?;
        phases.add("tools", start.elapsed(), false);
        let mut helm = leash::command(&tools.helm)?;
        helm.args(["lint", "--strict", "charts/holdfast"]).current_dir(cache::workspace());
        phases.run("chart", "helm lint --strict charts/holdfast", helm)?;
        phases.finish()
    }
}

/// Says what is wrong with source files. `false` if anything is.
fn report(name: &str, complaints: &[String]) -> bool {
    println!("\n== {name}");
    for complaint in complaints {
        println!("{complaint}");
    }
    complaints.is_empty()
}

fn must_have(subcommand: &str, component: &str) -> Result<()> {
    let mut command = cargo::command()?;
    command.args([subcommand, "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !leash::spawn(command)?.wait().context("wait for cargo")?.success() {
        bail!("cargo {subcommand} is missing; install it with: rustup component add {component}");
    }
    Ok(())
}
