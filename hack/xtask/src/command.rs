//! Which commands there are, and what they have in common.
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use holdfast_e2e::leash;
use tracing_subscriber::EnvFilter;

use crate::bench::Bench;
use crate::bench::admission::allow;
use crate::control_plane;
use crate::demo::Demo;
use crate::generate::Generate;
use crate::image::Images;
use crate::lint::Lint;
use crate::node;
use crate::record::Record;
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
    /// The main job as a story on a real control plane, each step checked
    Demo(Demo),
    /// Latency, requests, memory and CPU, measured on a real control plane and held against their targets
    Bench(Bench),
    /// All tests
    Test(Test),
    /// The soak test alone, for twenty minutes: random changes and faults, and a model that says what must hold
    Soak(Soak),
    /// Everything that can be said about the code without running it
    Lint(Lint),
    /// The container images of controller and webhook, without a container engine, and their bills of materials
    Image(Images),
    /// Reviews of the API server, recorded anew for the tests of the webhook
    Record(Record),
    /// A real control plane that stays until it is taken down
    #[command(subcommand)]
    ControlPlane(control_plane::Command),
    /// A real node, with kubelet and containerd, in namespaces of its own; needs root
    #[command(subcommand)]
    Node(node::Command),
    /// Writes the files that are made from code
    Gen(Generate),
    /// A webhook that allows everything; the benchmark's yardstick
    #[command(hide = true)]
    Allow { name: String },
    /// Runs a command that dies with its parent; used by the testbed
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
        let mut runtime = match self.command {
            // As our webhook runs.
            Command::Allow { .. } => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = runtime.enable_all().build().context("start the runtime")?;
        runtime.block_on(async {
            match self.command {
                Command::ControlPlane(command) => command.run().await,
                Command::Node(command) => command.run().await,
                Command::Bench(bench) => Box::pin(bench.run()).await,
                Command::Demo(demo) => demo.run().await,
                Command::Test(test) => test.run().await,
                Command::Soak(soak) => soak.run().await,
                Command::Lint(lint) => lint.run().await,
                Command::Image(images) => images.run(),
                Command::Record(record) => record.run().await,
                Command::Gen(generate) => generate.run(),
                Command::Allow { name } => allow::serve(&name).await,
                // Handled before there was a runtime.
                Command::Leash { .. } => Ok(()),
            }
        })
    }
}
