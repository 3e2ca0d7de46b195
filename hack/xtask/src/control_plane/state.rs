//! What the commands know about each other: files in the user's cache directory.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use holdfast_e2e::cache::{self, Lock};
use holdfast_e2e::toolchain::Tools;
use serde::{Deserialize, Serialize};

/// Where the files are.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

/// What a finished `up` leaves for the others.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The supervisor; none if somebody else's cluster is used.
    pub(crate) pid: Option<u32>,
    /// Where clients find the cluster.
    pub(crate) kubeconfig: PathBuf,
    /// A directory with `kubectl` and `helm`.
    pub(crate) bin: PathBuf,
}

impl Place {
    /// The place, created if missing.
    pub(crate) fn find() -> Result<Self> {
        let place = Self(cache::directory()?.join("control-plane"));
        fs::create_dir_all(&place.0).with_context(|| format!("create {}", place.0.display()))?;
        Ok(place)
    }

    /// The lock that the supervisor holds as long as it lives, or `None` if one does.
    pub(super) fn lock(&self) -> Result<Option<Lock>> {
        Lock::attempt(&self.0.join("lock"))
    }

    /// Whether a supervisor lives.
    pub(super) fn is_served(&self) -> Result<bool> {
        Ok(self.lock()?.is_none())
    }

    /// Nothing if no control plane of ours is up.
    ///
    /// # Errors
    /// One is, or is starting or stopping: with what to do.
    pub(crate) fn must_be_free(&self) -> Result<()> {
        if self.read()?.is_some() {
            bail!("a control plane is up already; take it down first: cargo xtask control-plane down");
        }
        if self.is_served()? {
            bail!("a control plane is just being started or stopped; its log is {}", self.log().display());
        }
        Ok(())
    }

    /// Where the supervisor writes.
    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Where the control plane lives.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.0.join("cluster")
    }

    /// Where the links to `kubectl` and `helm` are.
    pub(super) fn bin(&self) -> PathBuf {
        self.0.join("bin")
    }

    /// What was left, if it is still true: a supervisor that is gone makes it void.
    pub(super) fn read(&self) -> Result<Option<State>> {
        let Ok(text) = fs::read_to_string(self.file()) else { return Ok(None) };
        let state: State = serde_json::from_str(&text).with_context(|| format!("read {}", self.file().display()))?;
        let void = state.pid.is_some() && !self.is_served()?;
        Ok(if void { None } else { Some(state) })
    }

    /// Leaves the state, all at once.
    pub(super) fn write(&self, state: &State) -> Result<()> {
        let here = || format!("write {}", self.file().display());
        let next = self.0.join("state.json.next");
        fs::write(&next, serde_json::to_string_pretty(state)?).with_context(here)?;
        fs::rename(&next, self.file()).with_context(here)
    }

    /// Links `kubectl` and `helm` into the directory for the PATH.
    pub(crate) fn link(&self, tools: &Tools) -> Result<()> {
        fs::create_dir_all(self.bin()).with_context(|| format!("create {}", self.bin().display()))?;
        for (name, target) in [("kubectl", &tools.kubectl), ("helm", &tools.helm)] {
            let link = self.bin().join(name);
            let _ = fs::remove_file(&link);
            symlink(target, &link).with_context(|| format!("link {}", link.display()))?;
        }
        Ok(())
    }

    /// Takes the state away.
    pub(super) fn forget(&self) -> Result<()> {
        match fs::remove_file(self.file()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", self.file().display()))
            }
            _ => Ok(()),
        }
    }

    fn file(&self) -> PathBuf {
        self.0.join("state.json")
    }
}
