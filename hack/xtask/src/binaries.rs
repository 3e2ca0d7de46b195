//! Holdfast's own programs.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use holdfast_e2e::cache;

/// Packages, binaries and images have the same names.
const NAMES: [&str; 2] = ["holdfast-controller", "holdfast-webhook"];

/// Builds controller and webhook, and returns the map from image to program that the player takes.
///
/// `HOLDFAST_PROFILE=dev` builds faster and runs slower than the default, `release`.
///
/// # Errors
/// cargo fails; its output goes to the terminal.
pub(crate) fn build_binaries() -> Result<BTreeMap<String, PathBuf>> {
    let profile = std::env::var("HOLDFAST_PROFILE").unwrap_or_else(|_| "release".to_owned());
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(cache::workspace()).args(["build", "--profile", &profile]);
    for name in NAMES {
        command.args(["--package", name]);
    }
    let status = command.status().context("run cargo build")?;
    if !status.success() {
        bail!("cargo build failed ({status})");
    }
    // The one profile whose directory has another name.
    let directory = target_directory().join(if profile == "dev" { "debug" } else { &profile });
    Ok(NAMES.map(|name| (name.to_owned(), directory.join(name))).into())
}

fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| cache::workspace().join("target"), PathBuf::from)
}
