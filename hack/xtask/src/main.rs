//! The project's own commands: `cargo xtask --help`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to the terminal is what these commands are for")]
mod command;
mod lint;
mod phases;
mod program;
mod soak;
mod test;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    command::Xtask::parse().run()
}
