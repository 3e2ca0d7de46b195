//! `cargo xtask soak`: the soak test alone, for as long as one likes.
use std::hash::{BuildHasher as _, RandomState};

use anyhow::Result;
use clap::Args;
use holdfast_build::toolchain::Tools;
use holdfast_build::{binaries, cargo};

use crate::phases::{Phases, shown};
use crate::test::{SOAK, SUITE};

/// Options of `cargo xtask soak`.
#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// Length, with the start of the control plane
    #[arg(long, default_value_t = 1200)]
    seconds: u64,
    /// What happens follows from it; a failed test names its own. By default, another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// ManagedResources at a time
    #[arg(long, default_value_t = 200)]
    managed_resources: u64,
}

impl Soak {
    /// Builds what is needed and runs the test.
    ///
    /// # Errors
    /// Something does not build, or the test fails.
    pub(crate) fn run(self) -> Result<()> {
        let mut phases = Phases::new();
        Tools::ensure()?;
        let build = shown("cargo", &binaries::build_arguments());
        if phases.run("controller and webhook", &build, binaries::build_command()?)? {
            let arguments = ["test", "--workspace", "--test", SUITE, "--", SOAK, "--nocapture"];
            let mut command = cargo::command()?;
            command.args(arguments).env(binaries::DIRECTORY, binaries::directory());
            command.env("HOLDFAST_SOAK_SECONDS", self.seconds.to_string());
            command.env("HOLDFAST_SOAK_MRS", self.managed_resources.to_string());
            let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one("soak") % 1_000_000);
            command.env("HOLDFAST_SOAK_SEED", seed.to_string());
            phases.run("soak", &shown("cargo", &arguments), command)?;
        }
        phases.finish()
    }
}
