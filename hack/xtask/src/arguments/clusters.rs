//! The commands about what outlives a command: a control plane, a node.
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `cargo xtask control-plane`.
#[derive(Debug, Subcommand)]
pub enum ControlPlane {
    /// Start it (the first time on a machine, build it: minutes) and print how to reach it
    Up(ControlPlaneUp),
    /// Stop it, and return when it has stopped
    Down,
    /// Print the lines that `up` printed: eval "$(cargo xtask control-plane env)"
    Env,
}

/// Options of `cargo xtask control-plane up`.
#[derive(Debug, Args)]
pub struct ControlPlaneUp {
    /// Use this cluster instead of starting one
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Also play Pods of this image with this program
    #[arg(long = "image", value_name = "IMAGE=PROGRAM", value_parser = parse_image, conflicts_with = "kubeconfig")]
    pub images: Vec<(String, PathBuf)>,
}

/// `cargo xtask node`.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Start a node with its control plane (the first time on a machine, build both: minutes) and print how to reach it
    Up(NodeUp),
    /// Stop it, and return when nothing of it is there any more
    Down,
    /// Say in one line whether a node can run on this machine, or what is missing
    Check,
    /// Run a command within the node's namespaces, where pods and Services are reached; a shell, if none is given
    Exec(NodeExec),
    /// Print the lines that `up` printed: eval "$(cargo xtask node env)"
    Env,
    /// Run the tests that need a real node
    Test(NodeTest),
}

/// Options of `cargo xtask node up`.
#[derive(Debug, Args)]
pub struct NodeUp {
    /// Use IPv6 addresses only
    #[arg(long)]
    pub ipv6: bool,
}

/// Options of `cargo xtask node exec`.
#[derive(Debug, Args)]
pub struct NodeExec {
    /// The command; `kubectl`, `helm` and `ctr` are the node's
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Options of `cargo xtask node test`.
#[derive(Debug, Args)]
pub struct NodeTest {
    /// Arguments for the tests, such as a part of their names
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

/// Reads `IMAGE=PROGRAM`.
///
/// # Errors
/// There is no `=`.
pub fn parse_image(text: &str) -> Result<(String, PathBuf), String> {
    let (image, program) = text.split_once('=').ok_or("expected IMAGE=PROGRAM")?;
    Ok((image.to_owned(), PathBuf::from(program)))
}
