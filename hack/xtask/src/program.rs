//! The programs behind commands that need more than this one.
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use holdfast_build::{cargo, leash};

/// A program of the workspace.
#[derive(Debug)]
pub(crate) struct Program {
    /// Package and binary.
    name: &'static str,
    description: &'static str,
    is_release: bool,
}

impl Program {
    /// Demo, control planes, nodes, images, generated files.
    pub(crate) const DEV: Self =
        Self { name: "holdfast-dev", description: "the commands that run Kubernetes", is_release: false };
    /// The benchmark. It takes its part of the same cores and is the yardstick of two rows: it must not be slow by itself.
    pub(crate) const BENCH: Self = Self { name: "holdfast-bench", description: "the benchmark", is_release: true };

    /// Builds the program and goes on as it.
    ///
    /// # Errors
    /// It cannot be built or executed.
    pub(crate) fn become_it(&self, arguments: impl Iterator<Item = OsString>) -> Result<()> {
        let path = self.build()?;
        let error = Command::new(&path).args(arguments).exec();
        Err(error).with_context(|| format!("execute {}", path.display()))
    }

    /// Builds the program and returns a command that runs it on the leash.
    ///
    /// # Errors
    /// It cannot be built.
    pub(crate) fn command(&self) -> Result<Command> {
        leash::command(self.build()?)
    }

    fn build(&self) -> Result<PathBuf> {
        let mut command = cargo::command()?;
        // With the features of the whole workspace, as tests are built: no other crate is compiled twice.
        command.args(["build", "--workspace", "--bin", self.name]);
        if self.is_release {
            command.arg("--release");
        }
        let build = cargo::Build { name: self.description, command, packages: &[self.name] };
        let artifacts = build.run()?;
        let program = artifacts.into_iter().find(|artifact| artifact.target == self.name);
        program
            .and_then(|artifact| artifact.executable)
            .with_context(|| format!("cargo does not say where {} is", self.name))
    }
}
