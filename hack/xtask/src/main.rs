//! The project's own commands: `cargo xtask --help`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to the terminal is what these commands are for")]
mod bench;
mod cargo;
mod ci;
mod cluster;
mod command;
mod control_plane;
mod demo;
mod generate;
mod image;
mod lint;
mod node;
mod phases;
mod record;
mod soak;
mod test;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    command::Xtask::parse().run()
}
