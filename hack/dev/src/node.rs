//! `cargo xtask node up|down|check|exec|env|test`: a real node, see [`holdfast_e2e::node`].
mod exec;
mod images;
mod leftovers;
mod report;
mod serve;
mod test;
mod up;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use holdfast_e2e::node::{Family, Node, Spec, cgroups, missing, untried};
use holdfast_e2e::toolchain::NodeTools;
use xtask::arguments;

use crate::cluster::{Kind, Place, down, environment};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Public(arguments::Node),
    /// What `up` starts in the background
    #[command(hide = true)]
    Serve(serve::Serve),
    /// The first step of a node's first process
    #[command(hide = true)]
    Enter {
        directory: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        next: Vec<OsString>,
    },
    /// What the first process of a node does
    #[command(hide = true)]
    Run { directory: PathBuf },
    /// Removes what a node leaves, when standard input ends
    #[command(hide = true)]
    Sweep { pid: u32 },
}

impl Command {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Public(command) => run(command).await,
            Self::Serve(serve) => serve.run().await,
            Self::Run { directory } => {
                let code = holdfast_e2e::node::run(&directory).await?;
                // The kernel ends all processes of the node with this one.
                std::process::exit(code)
            }
            Self::Enter { directory, next } => holdfast_e2e::node::enter(&directory, &next),
            Self::Sweep { pid } => {
                cgroups::sweep(pid);
                Ok(())
            }
        }
    }
}

async fn run(command: arguments::Node) -> Result<()> {
    match command {
        arguments::Node::Up(options) => up::run(options.ipv6).await,
        arguments::Node::Down => down::run(Place::find(Kind::Node)?).await,
        arguments::Node::Check => check(),
        arguments::Node::Exec(options) => exec::run(options.command),
        arguments::Node::Env => environment::run(&Place::find(Kind::Node)?),
        arguments::Node::Test(options) => test::run(&options.arguments).await,
    }
}

/// Builds what a node has beside the control plane, and returns what to tell the supervisor.
pub(crate) fn supervisor_arguments(
    place: &Place,
    programs: &BTreeMap<String, PathBuf>,
    is_v6: bool,
) -> Result<Vec<OsString>> {
    let archives = images::write(place, programs, &NodeTools::ensure()?)?;
    let images = archives.into_iter().flat_map(|archive| ["--image".into(), archive.into_os_string()]);
    Ok(is_v6.then(|| "--ipv6".into()).into_iter().chain(images).collect())
}

/// Starts a node with this program as its first process.
fn launch(spec: Spec) -> Result<Node> {
    Node::launch(spec, &std::env::current_exe().context("find the running executable")?, &[Kind::Node.command()])
}

fn check() -> Result<()> {
    if let Some(missing) = missing() {
        bail!("no node can run here: {missing}");
    }
    println!("A node can run here.");
    if let Some(untried) = untried() {
        println!("Note: {untried}.");
    }
    Ok(())
}

fn family(is_v6: bool) -> Family {
    if is_v6 { Family::V6 } else { Family::V4 }
}
