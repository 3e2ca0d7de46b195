//! The controller's entry point.

use std::process::ExitCode;

use clap::Parser as _;
use holdfast_controller::config::Args;
use holdfast_runtime::{connect, executor, exit};

fn main() -> ExitCode {
    connect::install_crypto_provider();
    let args = Args::parse();
    exit::report(executor::block_on(holdfast_controller::run(&args)))
}
