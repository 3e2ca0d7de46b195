//! Runs a command that dies with its parent; see [`holdfast_e2e::leash`].
use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast_e2e::leash::main(std::env::args_os().skip(1))
}
