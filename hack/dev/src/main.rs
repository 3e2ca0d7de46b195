//! The commands of `cargo xtask` that run Kubernetes or need our own crates: demo, control plane, node, recorded reviews,
//! images, generated files.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to the terminal is what these commands are for")]
mod cluster;
mod command;
mod control_plane;
mod demo;
mod dependencies;
mod generate;
mod image;
mod node;
mod record;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    command::Dev::parse().run()
}
