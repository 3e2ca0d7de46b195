//! Calling cargo from a program that cargo runs.
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use holdfast_e2e::{cache, leash};
use serde_json::Value;

/// cargo in the workspace, on the leash.
///
/// `cargo run` describes the running package in the environment. Build scripts that look there (ring's) would then run
/// again, and all that depends on them, each time it is this program that calls cargo and not the shell.
///
/// # Errors
/// The leash is missing.
pub(crate) fn cargo() -> Result<Command> {
    let mut command = leash::command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))?;
    command.current_dir(cache::workspace());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> PathBuf {
    // A relative path means the directory in which cargo runs.
    let given = std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty());
    cache::workspace().join(given.map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

/// What cargo knows of the workspace's own packages: the array `packages` of `cargo metadata`.
///
/// # Errors
/// cargo fails or says something else.
pub(crate) fn packages() -> Result<Vec<Value>> {
    let mut command = cargo()?;
    let output =
        command.args(["metadata", "--no-deps", "--format-version", "1"]).output().context("run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let mut metadata: Value = serde_json::from_slice(&output.stdout).context("read what cargo metadata says")?;
    match metadata["packages"].take() {
        Value::Array(packages) => Ok(packages),
        _ => bail!("cargo metadata says nothing about packages"),
    }
}
