//! The controller's entry point.

use std::process::ExitCode;

use holdfast_controller::{
    config::{Args, SOURCES},
    finalizer_notice,
};
use holdfast_runtime::{connect, executor, exit, settings};

fn main() -> ExitCode {
    connect::install_crypto_provider();
    let loaded = settings::load::<Args>(&SOURCES, std::env::args_os(), |name| std::env::var(name).ok());
    exit::report(match loaded {
        Ok(loaded) => executor::block_on(holdfast_controller::run(loaded)),
        Err(error) if finalizer_notice::is_requested(std::env::args_os()) => {
            finalizer_notice::print_without_settings(&error);
            Ok(())
        }
        Err(error) => Err(error.into_end()),
    })
}
