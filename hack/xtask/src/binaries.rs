//! Holdfast's own programs.
use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use holdfast_e2e::leash;

use crate::cargo;

/// Packages, binaries and images have the same names.
pub(crate) const NAMES: [&str; 2] = ["holdfast-controller", "holdfast-webhook"];

/// The arguments of the cargo that builds controller and webhook.
///
/// `HOLDFAST_PROFILE=dev` builds faster and runs slower than the default, `release`.
pub(crate) fn build_arguments() -> Vec<String> {
    let mut arguments = vec!["build".to_owned()];
    match profile().as_str() {
        "dev" => {}
        "release" => arguments.push("--release".to_owned()),
        other => arguments.extend(["--profile".to_owned(), other.to_owned()]),
    }
    for name in NAMES {
        arguments.extend(["--package".to_owned(), name.to_owned()]);
    }
    arguments
}

/// Builds controller and webhook, and returns the map from image to program that the player takes.
///
/// # Errors
/// cargo fails; its output goes to the terminal.
pub(crate) fn build_binaries() -> Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo::cargo()?;
    command.args(build_arguments());
    let status = leash::spawn(command)?.wait().context("wait for cargo build")?;
    if !status.success() {
        bail!("holdfast-controller and holdfast-webhook do not build: see what cargo said above ({status})");
    }
    Ok(NAMES.map(|name| (name.to_owned(), directory().join(name))).into())
}

/// Where the built programs are.
pub(crate) fn directory() -> PathBuf {
    let profile = profile();
    // The one profile whose directory has another name.
    cargo::target_directory().join(if profile == "dev" { "debug" } else { &profile })
}

fn profile() -> String {
    std::env::var("HOLDFAST_PROFILE").ok().filter(|value| !value.is_empty()).unwrap_or_else(|| "release".to_owned())
}
