//! The admission webhook of Holdfast.

use std::process::ExitCode;

use clap::Parser as _;
use holdfast_runtime::{connect, executor, exit};
use holdfast_webhook::{cli::Args, run::run};

fn main() -> ExitCode {
    connect::install_crypto_provider();
    exit::report(executor::block_on(run(Args::parse())))
}
