//! Holdfast's own programs: found where `HOLDFAST_BIN_DIR` says, built otherwise.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cache, leash};

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
    let mut command = cargo()?;
    command.args(build_arguments());
    let status = leash::spawn(command)?.wait().context("wait for cargo build")?;
    if !status.success() {
        bail!("holdfast-controller and holdfast-webhook do not build: see what cargo said above ({status})");
    }
    within(&directory())
}

/// The arguments of the cargo that [`build`]s.
pub fn build_arguments() -> Vec<String> {
    let mut arguments = vec!["build".to_owned(), "--profile".to_owned(), profile()];
    for name in NAMES {
        arguments.extend(["--package".to_owned(), name.to_owned()]);
    }
    arguments
}

/// cargo in the workspace, on the leash.
///
/// `cargo run` describes the running package in the environment. Build scripts that look there (ring's) would then run
/// again, and all that depends on them, each time it is a program of ours that calls cargo and not the shell.
///
/// # Errors
/// The leash is missing.
pub fn cargo() -> Result<Command> {
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

/// Where [`build`] puts the programs.
pub fn directory() -> PathBuf {
    let profile = profile();
    // The one profile whose directory has another name.
    target_directory().join(if profile == "dev" { "debug" } else { &profile })
}

/// The profile that is built, or in which what lies in `HOLDFAST_BIN_DIR` was built: what `HOLDFAST_PROFILE` says.
pub fn profile() -> String {
    std::env::var("HOLDFAST_PROFILE").ok().filter(|value| !value.is_empty()).unwrap_or_else(|| "release".to_owned())
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

/// Where cargo puts what it builds.
pub fn target_directory() -> PathBuf {
    // A relative path means the directory in which cargo runs.
    let given = std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty());
    cache::workspace().join(given.map_or_else(|| PathBuf::from("target"), PathBuf::from))
}
