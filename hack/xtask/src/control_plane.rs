//! `cargo xtask control-plane up|down|env`: a control plane that outlives the command, for work by hand.
//!
//! `up` starts a supervisor in the background, which owns the control plane and the player and holds a lock as long as it
//! lives; `down` ends it. The demo starts the same one. Everything lies in the user's cache directory, so there is one for each user.
mod down;
mod environment;
mod serve;
mod state;
mod supervisor;
mod up;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
pub(crate) use environment::print as print_environment;
pub(crate) use state::{Place, State};
pub(crate) use supervisor::Supervisor;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts it (the first time on a machine, builds it: minutes) and prints how to reach it
    Up(up::Up),
    /// Stops it, and returns when it has stopped
    Down,
    /// Prints the lines that `up` printed: eval "$(cargo xtask control-plane env)"
    Env,
    /// What `up` starts in the background
    #[command(hide = true)]
    Serve(serve::Serve),
}

impl Command {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Up(up) => up.run().await,
            Self::Down => down::run().await,
            Self::Env => environment::run(),
            Self::Serve(serve) => serve.run().await,
        }
    }
}

/// Reads `IMAGE=PROGRAM`.
fn image(text: &str) -> Result<(String, PathBuf), String> {
    let (image, program) = text.split_once('=').ok_or("expected IMAGE=PROGRAM")?;
    Ok((image.to_owned(), PathBuf::from(program)))
}
