//! The commands that run in other programs, and their options.
mod clusters;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub use clusters::{ControlPlane, ControlPlaneUp, Node, NodeExec, NodeTest, NodeUp, parse_image};

/// The commands of `holdfast-dev`.
#[derive(Debug, Subcommand)]
pub enum Dev {
    /// The main job as a story on a real control plane, each step checked
    Demo(Demo),
    /// The container images of controller and webhook, without a container engine, and their bills of materials
    Image(Images),
    /// Reviews of the API server, recorded anew for the tests of the webhook
    Record(Record),
    /// A real control plane that stays until it is taken down
    #[command(subcommand)]
    ControlPlane(ControlPlane),
    /// A real node, with kubelet and containerd, in namespaces of its own; needs root
    #[command(subcommand)]
    Node(Node),
    /// Writes the files that are made from code
    Gen(Generate),
    /// Licences, bans and sources of dependencies, against deny.toml; a part of lint
    #[command(hide = true)]
    Dependencies,
}

/// Options of `cargo xtask demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Leave everything running at the end, and print how to reach it
    #[arg(long)]
    pub keep: bool,
    /// On a real node, where the pods run; needs root
    #[arg(long)]
    pub node: bool,
}

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Print a JSON list of {"name", "measured", "target", "unit", "met"} instead of the table
    #[arg(long)]
    pub json: bool,
    /// Small sizes and few rounds, for work on the benchmark itself; the figures say nothing about the targets
    #[arg(long)]
    pub quick: bool,
    /// Only rows whose name contains one of these texts
    #[arg(long, value_name = "TEXTS", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Fail if a target is missed, too
    #[arg(long)]
    pub check: bool,
}

/// Options of `cargo xtask image`.
#[derive(Debug, Default, Args)]
pub struct Images {
    /// Where the archives go; target/images if not given
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Tag of the images; the version if not given, as in the chart
    #[arg(long)]
    pub tag: Option<String>,
    /// What stands before the names, as the chart's image.registry
    #[arg(long, value_name = "PREFIX")]
    pub registry: Option<String>,
    /// Where the sources can be had, for the label org.opencontainers.image.source
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
    /// Has skopeo, umoci and buildah look at the images, and buildah make them from the Containerfile
    #[arg(long)]
    pub check: bool,
    /// Builds everything a second time in another folder with another CARGO_HOME, and compares
    #[arg(long)]
    pub reproduce: bool,
}

/// Options of `cargo xtask record`.
#[derive(Debug, Args)]
pub struct Record {
    /// Write to this directory instead of the one of the tests, to compare
    #[arg(long)]
    pub to: Option<PathBuf>,
}

/// Options of `cargo xtask gen`.
#[derive(Debug, Args)]
pub struct Generate {
    /// Write nothing; fail if a file is not what would be written
    #[arg(long)]
    pub check: bool,
}
