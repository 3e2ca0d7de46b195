//! Asking cargo about the workspace.
use anyhow::{Context, Result, bail};
use holdfast_e2e::binaries;
use serde_json::Value;

/// What cargo knows of the workspace's own packages: the array `packages` of `cargo metadata`.
///
/// # Errors
/// cargo fails or says something else.
pub(crate) fn packages() -> Result<Vec<Value>> {
    let mut command = binaries::cargo()?;
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
