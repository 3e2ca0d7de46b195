//! Holdfast's own programs: found where `HOLDFAST_BIN_DIR` says, built otherwise.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache;

/// Packages, binaries and images have the same names.
pub const NAMES: [&str; 2] = ["holdfast-controller", "holdfast-webhook"];

/// The map from image to program that the player takes: from the directory `HOLDFAST_BIN_DIR`, or built.
///
/// # Errors
/// As [`build`]; or `HOLDFAST_BIN_DIR` lacks a program.
pub fn ensure() -> Result<BTreeMap<String, PathBuf>> {
    match std::env::var_os("HOLDFAST_BIN_DIR").filter(|value| !value.is_empty()) {
        Some(directory) => within(Path::new(&directory)).context("look into HOLDFAST_BIN_DIR"),
        None => build(),
    }
}

/// Builds controller and webhook with cargo, and returns the map from image to program that the player takes.
///
/// `HOLDFAST_PROFILE=dev` builds faster and runs slower than the default, `release`.
///
/// # Errors
/// cargo fails; its output goes to the terminal.
pub fn build() -> Result<BTreeMap<String, PathBuf>> {
    let profile = profile();
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
    within(&target_directory().join(if profile == "dev" { "debug" } else { &profile }))
}

/// The profile that is built, or in which what lies in `HOLDFAST_BIN_DIR` was built: what `HOLDFAST_PROFILE` says.
pub fn profile() -> String {
    std::env::var("HOLDFAST_PROFILE").unwrap_or_else(|_| "release".to_owned())
}

fn within(directory: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let directory = directory.canonicalize().with_context(|| format!("find {}", directory.display()))?;
    let programs = NAMES.map(|name| (name.to_owned(), directory.join(name)));
    for (_, path) in &programs {
        if !path.is_file() {
            bail!("there is no {}", path.display());
        }
    }
    Ok(programs.into())
}

fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| cache::workspace().join("target"), PathBuf::from)
}
