//! `exec`: a command among the pods.
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result, bail};
use holdfast_e2e::node::Spec;

use crate::cluster::{Kind, Place, State};

/// Goes on as the command; a shell, if there is none.
pub(super) fn run(command: Vec<String>) -> Result<()> {
    let place = Place::find(Kind::Node)?;
    let Some(State { first_process: Some(pid), bin, .. }) = place.read()? else {
        bail!("no node is up: start one with `cargo xtask node up`");
    };
    let spec = Spec::read(place.path())?;
    let command = if command.is_empty() { vec!["sh".to_owned()] } else { command };
    let path = format!("PATH={}:{}", bin.display(), spec.path());
    let here = std::env::current_dir().context("find the working directory")?;
    let error = Command::new("nsenter")
        .args(["--target", &pid.to_string()])
        .args(["--mount", "--net", "--uts", "--ipc", "--pid", "--cgroup", "env"])
        // Entering a mount namespace leads to its root, and files are named from here.
        .arg(format!("--chdir={}", here.display()))
        .arg(path)
        .args(spec.client_environment().map(|(name, value)| format!("{name}={value}")))
        .args(command)
        .exec();
    Err(error).context("execute nsenter")
}
