//! The first step of a node's first process: into the cgroups, before they become the root of what it sees.
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::cgroups;
use super::spec::Spec;

/// Enters the cgroups of the node in `directory` and becomes `next`, in a cgroup namespace whose root they are.
///
/// # Errors
/// A cgroup cannot be entered, or `unshare` cannot be executed. It does not return otherwise.
pub fn enter(directory: &Path, next: &[OsString]) -> Result<()> {
    let spec = Spec::read(directory)?;
    cgroups::enter(&spec.cgroups)?;
    let error = Command::new("unshare").arg("--cgroup").args(next).exec();
    Err(error).context("execute unshare")
}
