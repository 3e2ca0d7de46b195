//! Holdfast's own programs: found where `HOLDFAST_BIN_DIR` says, built otherwise.
//!
//! They are built as what the images contain: static, and without a path of this machine, so that two builds are the same
//! byte for byte. Player, node and images take the same files, so nothing is built twice.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cache, cargo};

/// Packages, binaries and images have the same names.
pub const NAMES: [&str; 2] = ["holdfast-controller", "holdfast-webhook"];

/// Names the directory with the programs, if they are there already.
pub const DIRECTORY: &str = "HOLDFAST_BIN_DIR";

/// What the programs run on: this machine's architecture, and the C library in the program itself.
#[cfg(target_arch = "x86_64")]
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What the programs run on: this machine's architecture, and the C library in the program itself.
#[cfg(target_arch = "aarch64")]
pub const TARGET: &str = "aarch64-unknown-linux-gnu";

/// The map from image to program that the player takes: from the directory `HOLDFAST_BIN_DIR`, or built.
///
/// # Errors
/// As [`build`]; or `HOLDFAST_BIN_DIR` lacks a program.
pub fn ensure() -> Result<BTreeMap<String, PathBuf>> {
    match std::env::var_os(DIRECTORY).filter(|value| !value.is_empty()) {
        Some(directory) => within(Path::new(&directory)).with_context(|| format!("look into {DIRECTORY}")),
        None => build(),
    }
}

/// Builds controller and webhook with cargo, and returns the map from image to program that the player takes.
///
/// `HOLDFAST_PROFILE=dev` builds faster and runs slower than the default, `release`.
///
/// # Errors
/// cargo fails, and has said on stderr why.
pub fn build() -> Result<BTreeMap<String, PathBuf>> {
    run(build_command()?)?;
    within(&directory())
}

/// As [`build`], in a copy of the sources and with another `CARGO_HOME`, from crates that have been downloaded: the programs
/// are to be the same.
///
/// # Errors
/// As [`build`]; or a crate is missing.
pub fn build_copy(sources: &Path, home: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo::command()?;
    let target = sources.join("target");
    command.args(build_arguments()).args(["--locked", "--offline", "--target-dir"]).arg(&target);
    command
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(Some(home)).join("\x1f"))
        .env("CARGO_HOME", home)
        .current_dir(sources);
    run(command)?;
    within(&below(&target))
}

/// The same programs with the machine's C library, in the development profile: what can be told another time by a library that
/// is loaded before. Of crates that tests use, nothing is built again.
///
/// # Errors
/// cargo fails, and has said on stderr why.
pub fn dynamic() -> Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo::command()?;
    command.args(["build", "--workspace", "--bins"]);
    run(command)?;
    within(&target_directory().join("debug"))
}

/// The cargo that [`build`]s, on the leash.
///
/// # Errors
/// The leash is missing.
pub fn build_command() -> Result<Command> {
    let mut command = cargo::command()?;
    command.args(build_arguments());
    // Beats all other places where flags may stand; those from the environment are among them.
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags(home().as_deref()).join("\x1f"));
    Ok(command)
}

fn run(command: Command) -> Result<()> {
    cargo::Build { name: "controller and webhook", command, packages: &NAMES }.run().map(drop)
}

/// The arguments of the cargo that [`build`]s.
pub fn build_arguments() -> Vec<String> {
    // With a target, even if it is the host's, the flags are for our programs alone: a procedural macro cannot be static.
    let mut arguments = ["build", "--target", TARGET, "--profile"].map(str::to_owned).to_vec();
    arguments.push(profile());
    for name in NAMES {
        arguments.extend(["--package".to_owned(), name.to_owned()]);
    }
    arguments
}

/// Static, so that the program runs where there are no libraries. Places of our own code are relative to the workspace anyway;
/// those of other crates get a name in place of this machine's path.
///
/// No place of the workspace is among them: each checkout would compile all other crates anew.
fn rustflags(home: Option<&Path>) -> Vec<String> {
    let given = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut flags: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
    flags.extend(["-C", "target-feature=+crt-static"].map(str::to_owned));
    let Some(registry) = home.map(|home| home.join("registry")) else { return flags };
    // One directory for each registry, of the same name as the one with what was downloaded, which is there first.
    let downloads = registry.join("cache").read_dir().into_iter().flatten().flatten();
    let mut names: Vec<_> = downloads.map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        flags.push(format!("--remap-path-prefix={}=/registry", registry.join("src").join(name).display()));
    }
    flags
}

/// Where cargo keeps what it downloads: `CARGO_HOME` or `~/.cargo`.
pub fn home() -> Option<PathBuf> {
    let given = std::env::var_os("CARGO_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    given.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

/// Where [`build`] puts the programs.
pub fn directory() -> PathBuf {
    below(&target_directory())
}

fn below(target: &Path) -> PathBuf {
    let profile = profile();
    // The one profile whose directory has another name.
    target.join(TARGET).join(if profile == "dev" { "debug" } else { &profile })
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
