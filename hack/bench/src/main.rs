//! `cargo xtask bench`: latency, requests, memory and CPU, measured on a real control plane and held against their targets.
//!
//! What is measured is what `helm install` of the chart brings, with release binaries. The driver is another process on the
//! same machine; it speaks to the API server only, and watches instead of polling. Requests are counted in the audit log.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to the terminal is what a benchmark is for")]
mod admission;
mod bare;
mod declare;
mod large;
mod machine;
mod many;
mod numbers;
mod one;
mod repair;
mod report;
mod row;
mod sick;
mod sizes;
mod stage;
mod standing;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use holdfast_build::{binaries, leash, toolchain::Tools};
use tracing_subscriber::EnvFilter;
use xtask::arguments::Bench;

use admission::allow;
use many::Usage;
use report::Report;
use row::Row;
use sizes::Sizes;
use stage::Stage;

/// No row takes longer, its preparation included.
const ROW_LIMIT: Duration = Duration::from_secs(600);

/// What `cargo xtask bench` runs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Command {
    #[command(flatten)]
    bench: Bench,
    #[command(subcommand)]
    internal: Option<Internal>,
}

/// Processes that the benchmark starts.
#[derive(Debug, Subcommand)]
enum Internal {
    /// A webhook that allows everything: the yardstick
    #[command(hide = true)]
    Allow { name: String },
    /// Runs a command that dies with its parent
    #[command(hide = true)]
    Leash {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

/// What the groups of rows work with.
struct Run {
    sizes: Sizes,
    images: BTreeMap<String, PathBuf>,
    report: Report,
    /// CPU time over the rows that apply, which another row is about.
    usage: Usage,
}

fn main() -> ExitCode {
    let Command { bench, internal } = Command::parse();
    if let Some(Internal::Leash { args }) = internal {
        return leash::main(args);
    }
    match run(bench, internal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(bench: Bench, internal: Option<Internal>) -> Result<()> {
    holdfast_e2e::install_crypto_provider();
    // kube logs every refused request as an error, also those that are part of waiting.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,kube_client=off"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let this = std::env::current_exe().context("find the running executable")?;
    leash::set_executable(this, vec!["leash".into()]);
    let mut runtime = match internal {
        // As our webhook runs.
        Some(_) => tokio::runtime::Builder::new_current_thread(),
        None => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build().context("start the runtime")?;
    runtime.block_on(async {
        match internal {
            Some(Internal::Allow { name }) => allow::serve(&name).await,
            // Handled before there was a runtime.
            Some(Internal::Leash { .. }) => Ok(()),
            None => Box::pin(measure(bench)).await,
        }
    })
}

/// Measures and prints.
///
/// # Errors
/// Something could not be measured; with `--check` also a target that is missed.
async fn measure(options: Bench) -> Result<()> {
    let rows: Vec<Row> = Row::ALL.into_iter().filter(|row| is_selected(&options.only, *row)).collect();
    if rows.is_empty() {
        let names: Vec<&str> = Row::ALL.iter().map(|row| row.name()).collect();
        bail!("no row has one of {:?} in its name; there are: {}", options.only.join(","), names.join(", "));
    }
    let images = binaries::ensure()?;
    // Not within the time of a row: from source, they take minutes.
    Tools::ensure()?;
    let sizes = if options.quick { Sizes::quick() } else { Sizes::full() };
    let report = Report::new(rows, options.quick);
    let mut run = Run { sizes, images, report, usage: Usage::default() };
    one::measure(&mut run).await;
    many::measure(&mut run).await;
    sick::measure(&mut run).await;
    large::measure(&mut run).await;
    Box::pin(admission::measure(&mut run)).await;
    if options.json {
        run.report.print_json()?;
    } else {
        run.report.print_table();
    }
    run.report.verdict(options.check)
}

fn is_selected(only: &[String], row: Row) -> bool {
    only.is_empty() || only.iter().any(|text| row.name().contains(text.as_str()))
}

impl Run {
    fn wants(&self, row: Row) -> bool {
        self.report.wants(row)
    }

    /// A control plane with the chart installed, for these rows if any of them is wanted. If it does not start, they have
    /// failed.
    async fn stage(&mut self, rows: &[Row]) -> Option<Stage> {
        let selected: Vec<Row> = rows.iter().copied().filter(|row| self.wants(*row)).collect();
        if selected.is_empty() {
            return None;
        }
        let names: Vec<&str> = selected.iter().map(|row| row.name()).collect();
        self.report.progress(&format!("control plane for: {}", names.join(", ")));
        match limited(Stage::start(&self.images)).await {
            Ok(stage) => Some(stage),
            Err(error) => {
                for row in selected {
                    self.report.failed(row, &error);
                }
                None
            }
        }
    }
}

/// A row, or what several rows stand on, within the time that it may take.
async fn limited<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(ROW_LIMIT, work).await {
        Ok(result) => result,
        Err(_) => bail!("not done within {} s", ROW_LIMIT.as_secs()),
    }
}
