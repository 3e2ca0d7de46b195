//! The controller's entry point.

use std::process::ExitCode;

use clap::Parser as _;
use holdfast_controller::config::Args;
use holdfast_runtime::{connect, exit};

fn main() -> ExitCode {
    connect::install_crypto_provider();
    let args = Args::parse();
    exit::report(run(&args))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(args.threads).enable_all().build()?;
    runtime.block_on(holdfast_controller::run(args))
}
