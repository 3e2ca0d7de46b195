//! The commands that run in other programs, and their options.
mod clusters;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub use clusters::{ControlPlane, ControlPlaneUp, Node, NodeExec, NodeTest, NodeUp, parse_image};

/// The commands of `holdfast-dev`.
#[derive(Debug, Subcommand)]
pub enum Dev {
    /// Run the demo: the main job as a story on a real control plane, each step checked
    Demo(Demo),
    /// Build the container images of controller and webhook, without a container engine, and their bills of materials
    Image(Images),
    /// Record reviews of the API server anew, for the tests of the webhook
    Record(Record),
    /// Run a real control plane until it is taken down
    #[command(subcommand)]
    ControlPlane(ControlPlane),
    /// Run a real node, with kubelet and containerd, in namespaces of its own; needs root
    #[command(subcommand)]
    Node(Node),
    /// Write the files that are made from code
    Gen(Generate),
    /// Check licences, bans and sources of dependencies against deny.toml; a part of lint
    #[command(hide = true)]
    Dependencies,
}

/// Options of `cargo xtask demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Leave everything running at the end, and print how to reach it
    #[arg(long)]
    pub keep: bool,
    /// Run on a real node, where the pods run; needs root
    #[arg(long)]
    pub node: bool,
}

/// Options of `cargo xtask bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Print a JSON list of {"name", "measured", "target", "unit", "met"} instead of the table
    #[arg(long)]
    pub json: bool,
    /// Use small sizes and few rounds, for work on the benchmark itself; the figures say nothing about the targets
    #[arg(long)]
    pub quick: bool,
    /// Measure only rows whose name contains one of these texts
    #[arg(long, value_name = "TEXTS", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Fail if a target is missed, too
    #[arg(long)]
    pub check: bool,
}

/// Options of `cargo xtask image`.
#[derive(Debug, Default, Args)]
pub struct Images {
    /// Write the archives to this folder; default: target/images
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Tag of the images; default: the version, as in the chart
    #[arg(long)]
    pub tag: Option<String>,
    /// Prefix of the names, as the chart's image.registry
    #[arg(long, value_name = "PREFIX")]
    pub registry: Option<String>,
    /// URL of the sources, for the label org.opencontainers.image.source
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
    /// Check the images with skopeo, umoci and buildah, and have buildah build them from the Containerfile
    #[arg(long)]
    pub check: bool,
    /// Build everything a second time in another folder with another CARGO_HOME, and compare
    #[arg(long)]
    pub reproduce: bool,
}

/// Options of `cargo xtask record`.
#[derive(Debug, Args)]
pub struct Record {
    /// Write to this directory instead of that of the tests, to compare
    #[arg(long)]
    pub to: Option<PathBuf>,
}

/// Options of `cargo xtask gen`.
#[derive(Debug, Args)]
pub struct Generate {
    /// Write nothing; fail if a file differs from what would be written
    #[arg(long)]
    pub check: bool,
}
