//! Calling cargo: the one place that knows how.
mod messages;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::progress::Progress;
use crate::{cache, leash};
pub use messages::Artifact;
use messages::{Message, Running};

/// Between two looks at the clock while cargo says nothing.
const TICK: Duration = Duration::from_millis(100);

/// cargo in the workspace, on the leash.
///
/// `cargo run` describes the running package in the environment. Build scripts that look there (ring's) would then run
/// again, and all that depends on them, each time it is a program of ours that calls cargo and not the shell.
///
/// # Errors
/// The leash is missing.
pub fn command() -> Result<Command> {
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

/// What cargo knows of the workspace's own packages: the array `packages` of `cargo metadata`.
///
/// # Errors
/// cargo fails or says something else.
pub fn packages() -> Result<Vec<Value>> {
    let output =
        command()?.args(["metadata", "--no-deps", "--format-version", "1"]).output().context("run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let mut metadata: Value = serde_json::from_slice(&output.stdout).context("read what cargo metadata says")?;
    match metadata["packages"].take() {
        Value::Array(packages) => Ok(packages),
        _ => bail!("cargo metadata says nothing about packages"),
    }
}

/// Something that cargo builds, with progress on stderr.
#[derive(Debug)]
pub struct Build<'a> {
    /// What is built, in a few words.
    pub name: &'a str,
    /// The command ([`command`]) with all arguments but those about its messages.
    pub command: Command,
    /// The packages whose dependencies are counted to say how much there is to do.
    pub packages: &'a [&'a str],
}

impl Build<'_> {
    /// Runs the build and returns what came out of the workspace and of other crates. Texts of the compiler go to stderr whole.
    ///
    /// # Errors
    /// It fails; cargo has said why.
    pub fn run(self) -> Result<Vec<Artifact>> {
        let mut progress = Progress::begin(&format!("Building {}", self.name));
        let total = counted(self.packages);
        let mut running = Running::start(self.command, progress.is_terminal())?;
        let (mut crates, mut artifacts, mut news) = (BTreeSet::new(), Vec::new(), "cargo starts".to_owned());
        loop {
            match running.messages.recv_timeout(TICK) {
                Ok(Message::Status(status)) => news = status,
                Ok(Message::Text(text)) => progress.print(&text),
                Ok(Message::Artifact(artifact)) => {
                    crates.insert(artifact.package.clone());
                    artifacts.push(artifact);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let of = match total.get() {
                // cargo may build more than the packages and their dependencies.
                Some(total) => format!(" of {}", (*total).max(crates.len())),
                None => String::new(),
            };
            progress.update(&format!("{}{of} crates", crates.len()), &news);
        }
        let status = running.child.wait().context("wait for cargo")?;
        if !status.success() {
            bail!("{} cannot be built: see what cargo says above ({status})", self.name);
        }
        progress.finish(&format!("done, {} crates", crates.len()));
        Ok(artifacts)
    }
}

/// How many crates are built for the packages, as soon as it is known; never, if cargo cannot say. The build does not wait for it.
fn counted(packages: &[&str]) -> Arc<OnceLock<usize>> {
    let total = Arc::new(OnceLock::new());
    let (result, packages) = (Arc::clone(&total), packages.iter().map(|package| (*package).to_owned()).collect());
    thread::spawn(move || count(packages).map(|count| result.set(count)));
    total
}

fn count(packages: Vec<String>) -> Result<usize> {
    let mut command = command()?;
    command.args(["tree", "--edges", "normal,build", "--prefix", "none", "--no-dedupe", "--format", "{p}"]);
    command.args(packages.into_iter().flat_map(|package| ["--package".to_owned(), package]));
    let output = command.stderr(Stdio::null()).output().context("run cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree failed ({})", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter(|line| !line.is_empty()).collect::<BTreeSet<_>>().len())
}
