//! `cargo xtask control-plane up|down|env`: a control plane that outlives the command, for work by hand.
//!
//! `up` starts a supervisor in the background, which owns the control plane and the player and holds a lock as long as it
//! lives; `down` ends it. The demo starts the same one.
mod serve;
mod up;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use xtask::arguments;

use crate::cluster::{Kind, Place, down, environment};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Public(arguments::ControlPlane),
    /// What `up` starts in the background
    #[command(hide = true)]
    Serve(serve::Serve),
}

impl Command {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Public(arguments::ControlPlane::Up(options)) => up::run(options).await,
            Self::Public(arguments::ControlPlane::Down) => down::run(Place::find(Kind::ControlPlane)?).await,
            Self::Public(arguments::ControlPlane::Env) => environment::run(&Place::find(Kind::ControlPlane)?),
            Self::Serve(serve) => serve.run().await,
        }
    }
}

/// What to tell the supervisor, so that the player plays these programs.
pub(crate) fn arguments(images: &BTreeMap<String, PathBuf>) -> Vec<OsString> {
    images
        .iter()
        .flat_map(|(image, program)| ["--image".into(), format!("{image}={}", program.display()).into()])
        .collect()
}
