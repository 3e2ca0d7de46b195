//! Which commands there are, and what they have in common.
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use holdfast_build::leash;
use tracing_subscriber::EnvFilter;
use xtask::arguments::{Demo, Generate, Images, Record};

use crate::{control_plane, demo, dependencies, generate, image, node, record};

/// What `cargo xtask` runs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Dev {
    #[command(subcommand)]
    command: Command,
}

/// The commands of [`xtask::arguments::Dev`], and those that only this program calls.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(Demo),
    Image(Images),
    Record(Record),
    #[command(subcommand)]
    ControlPlane(control_plane::Command),
    #[command(subcommand)]
    Node(node::Command),
    Gen(Generate),
    Dependencies,
    /// Runs a command that dies with its parent
    #[command(hide = true)]
    Leash {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

impl Dev {
    /// Runs the command; errors become one line on stderr and a code other than zero.
    pub(crate) fn run(self) -> ExitCode {
        if let Command::Leash { args } = self.command {
            return leash::main(args);
        }
        match self.run_async() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    fn run_async(self) -> Result<()> {
        holdfast_e2e::install_crypto_provider();
        // kube logs every refused request as an error, also those that are part of waiting.
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,kube_client=off"));
        let colours = std::io::stderr().is_terminal();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
        let this = std::env::current_exe().context("find the running executable")?;
        leash::set_executable(this, vec!["leash".into()]);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
        runtime.block_on(async {
            match self.command {
                Command::ControlPlane(command) => command.run().await,
                Command::Node(command) => command.run().await,
                Command::Demo(options) => demo::run(options).await,
                Command::Image(options) => image::run(&options),
                Command::Record(options) => record::run(options).await,
                Command::Gen(options) => generate::run(&options),
                Command::Dependencies => dependencies::run(),
                // Handled before there was a runtime.
                Command::Leash { .. } => Ok(()),
            }
        })
    }
}
