//! The admission webhook of Holdfast.

use std::process::ExitCode;

use holdfast_runtime::{connect, executor, exit, settings};
use holdfast_webhook::setup::cli::{Args, SOURCES};
use holdfast_webhook::setup::run::run;

fn main() -> ExitCode {
    connect::install_crypto_provider();
    let loaded = settings::load::<Args>(&SOURCES, std::env::args_os(), |name| std::env::var(name).ok());
    exit::report(match loaded {
        Ok(loaded) => executor::block_on(run(loaded)),
        Err(error) => Err(error.into_end()),
    })
}
