//! Which commands there are, and what they have in common.
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use holdfast_build::leash;
use xtask::arguments::{Bench, Dev};

use crate::lint::Lint;
use crate::program::Program;
use crate::soak::Soak;
use crate::test::Test;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Dev(Dev),
    /// Measure latency, requests, memory and CPU on a real control plane, and compare them with their targets
    Bench(Bench),
    /// Run all tests
    Test(Test),
    /// Run the soak test alone, for twenty minutes: random changes and faults, and a model that says what must hold
    Soak(Soak),
    /// Check the code without running it
    Lint(Lint),
    /// Run a command that dies with its parent; used to build and to test
    #[command(hide = true)]
    Leash {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

impl Xtask {
    /// Runs the command; errors become one line on stderr and a code other than zero.
    pub(crate) fn run(self) -> ExitCode {
        if let Command::Leash { args } = self.command {
            return leash::main(args);
        }
        match self.run_on_leash() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    fn run_on_leash(self) -> Result<()> {
        let this = std::env::current_exe().context("find the running executable")?;
        leash::set_executable(this, vec!["leash".into()]);
        match self.command {
            // Parsed to answer mistakes at once; the program reads the same arguments.
            Command::Dev(_) => Program::DEV.become_it(std::env::args_os().skip(1)),
            Command::Bench(_) => Program::BENCH.become_it(std::env::args_os().skip(2)),
            Command::Test(test) => test.run(),
            Command::Soak(soak) => soak.run(),
            Command::Lint(Lint {}) => Lint::run(),
            // Handled before there was a leash.
            Command::Leash { .. } => Ok(()),
        }
    }
}
