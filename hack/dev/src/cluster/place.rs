//! What the commands know about each other: files in the user's cache directory.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use holdfast_e2e::cache::{self, Lock};
use holdfast_e2e::toolchain::Tools;
use serde::{Deserialize, Serialize};

/// What runs in the background: at most one of each for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A control plane, with a player for our own pods.
    ControlPlane,
    /// A real node with its control plane.
    Node,
}

impl Kind {
    /// In sentences.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::ControlPlane => "control plane",
            Self::Node => "node",
        }
    }

    /// The subcommand of xtask, and the name of the directory.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Node => "node",
        }
    }
}

/// Where the files are.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    kind: Kind,
}

/// What a finished `up` leaves for the others.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The supervisor; none if somebody else's cluster is used.
    pub(crate) pid: Option<u32>,
    /// Where clients find the cluster.
    pub(crate) kubeconfig: PathBuf,
    /// A directory with `kubectl` and `helm`.
    pub(crate) bin: PathBuf,
    /// The first process of a node.
    pub(crate) first_process: Option<u32>,
}

impl Place {
    /// The place, created if missing.
    pub(crate) fn find(kind: Kind) -> Result<Self> {
        let path = cache::directory()?.join(kind.command());
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path, kind })
    }

    /// What it is the place of.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The lock that the supervisor holds as long as it lives, or `None` if one does.
    pub(crate) fn lock(&self) -> Result<Option<Lock>> {
        Lock::attempt(&self.path.join("lock"))
    }

    /// Whether a supervisor lives.
    pub(crate) fn is_served(&self) -> Result<bool> {
        Ok(self.lock()?.is_none())
    }

    /// Nothing if none of ours is up.
    ///
    /// # Errors
    /// One is, or is starting or stopping: with what to do.
    pub(crate) fn must_be_free(&self) -> Result<()> {
        let noun = self.kind.noun();
        if self.read()?.is_some() {
            bail!("a {noun} is up already; take it down first: cargo xtask {} down", self.kind.command());
        }
        if self.is_served()? {
            bail!("a {noun} is just being started or stopped; its log is {}", self.log().display());
        }
        Ok(())
    }

    /// Where the supervisor writes.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where the control plane lives.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.path.join("cluster")
    }

    /// Where the links to `kubectl` and `helm` are.
    pub(crate) fn bin(&self) -> PathBuf {
        self.path.join("bin")
    }

    /// What was left, if it is still true: a supervisor that is gone makes it void.
    pub(crate) fn read(&self) -> Result<Option<State>> {
        let Ok(text) = fs::read_to_string(self.file()) else { return Ok(None) };
        let state: State = serde_json::from_str(&text).with_context(|| format!("read {}", self.file().display()))?;
        let void = state.pid.is_some() && !self.is_served()?;
        Ok(if void { None } else { Some(state) })
    }

    /// Leaves the state, all at once.
    pub(crate) fn write(&self, state: &State) -> Result<()> {
        let here = || format!("write {}", self.file().display());
        let next = self.path.join("state.json.next");
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
    pub(crate) fn forget(&self) -> Result<()> {
        match fs::remove_file(self.file()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", self.file().display()))
            }
            _ => Ok(()),
        }
    }

    fn file(&self) -> PathBuf {
        self.path.join("state.json")
    }
}
