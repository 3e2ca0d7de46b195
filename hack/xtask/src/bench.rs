//! `cargo xtask bench`: latency, requests, memory and CPU, measured on a real control plane and held against their targets.
//!
//! What is measured is what `helm install` of the chart brings, with release binaries. The driver is another process on the
//! same machine; it speaks to the API server only, and watches instead of polling. Requests are counted in the audit log.
pub(crate) mod admission;
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
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use holdfast_e2e::{binaries, leash, toolchain::Tools};

use many::Usage;
use report::Report;
use row::Row;
use sizes::Sizes;
use stage::Stage;

/// No row takes longer, its preparation included.
const ROW_LIMIT: Duration = Duration::from_secs(600);

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Print a JSON list of {"name", "measured", "target", "unit", "met"} instead of the table
    #[arg(long)]
    json: bool,
    /// Small sizes and few rounds, for work on the benchmark itself; the figures say nothing about the targets
    #[arg(long)]
    quick: bool,
    /// Only rows whose name contains one of these texts
    #[arg(long, value_name = "TEXTS", value_delimiter = ',')]
    only: Vec<String>,
    /// Fail if a target is missed, too
    #[arg(long)]
    check: bool,
}

/// What the groups of rows work with.
struct Run {
    sizes: Sizes,
    images: BTreeMap<String, PathBuf>,
    report: Report,
    /// CPU time over the rows that apply, which another row is about.
    usage: Usage,
}

impl Bench {
    /// Measures and prints.
    ///
    /// # Errors
    /// Something could not be measured; with `--check` also a target that is missed.
    pub(crate) async fn run(self) -> Result<()> {
        if cfg!(debug_assertions) {
            return again_in_release();
        }
        let images = binaries::ensure()?;
        let rows: Vec<Row> = Row::ALL.into_iter().filter(|row| self.wants(*row)).collect();
        if rows.is_empty() {
            let names: Vec<&str> = Row::ALL.iter().map(|row| row.name()).collect();
            bail!("no row has one of {:?} in its name; there are: {}", self.only.join(","), names.join(", "));
        }
        // Not within the time of a row: from source, they take minutes.
        Tools::ensure().await?;
        let sizes = if self.quick { Sizes::quick() } else { Sizes::full() };
        let report = Report::new(rows, self.quick);
        let mut run = Run { sizes, images, report, usage: Usage::default() };
        one::measure(&mut run).await;
        many::measure(&mut run).await;
        sick::measure(&mut run).await;
        large::measure(&mut run).await;
        Box::pin(admission::measure(&mut run)).await;
        if self.json {
            run.report.print_json()?;
        } else {
            run.report.print_table();
        }
        run.report.verdict(self.check)
    }

    fn wants(&self, row: Row) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| row.name().contains(text.as_str()))
    }
}

impl Run {
    fn wants(&self, row: Row) -> bool {
        self.report.wants(row)
    }

    /// A control plane with the chart installed, for these rows if any of them is wanted. If it does not start, they have
    /// failed.
    async fn stage(&mut self, rows: &[Row]) -> Option<Stage> {
        let wanted: Vec<Row> = rows.iter().copied().filter(|row| self.wants(*row)).collect();
        if wanted.is_empty() {
            return None;
        }
        let names: Vec<&str> = wanted.iter().map(|row| row.name()).collect();
        self.report.progress(&format!("control plane for: {}", names.join(", ")));
        match limited(Stage::start(&self.images)).await {
            Ok(stage) => Some(stage),
            Err(error) => {
                for row in wanted {
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

/// The driver takes its part of the same cores and is the yardstick of two rows: it must not be slow by itself.
fn again_in_release() -> Result<()> {
    let mut build = binaries::cargo()?;
    build.args(["build", "--quiet", "--release", "--package", "xtask"]);
    let status = leash::spawn(build)?.wait().context("wait for cargo build")?;
    if !status.success() {
        bail!("the benchmark does not build: see what cargo said above ({status})");
    }
    let program = binaries::target_directory().join("release").join("xtask");
    let error = Command::new(&program).args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("run {}", program.display()))
}
