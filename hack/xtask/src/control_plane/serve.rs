//! The supervisor that `up` leaves behind: owns control plane and player until it is told to end.
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use holdfast_e2e::control_plane::{ControlPlane, Options};
use holdfast_e2e::player::Player;
use tokio::signal::unix::{SignalKind, signal};

use super::state::{Place, State};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Play Pods of this image with this program
    #[arg(long = "image", value_name = "IMAGE=PROGRAM", value_parser = image)]
    images: Vec<(String, PathBuf)>,
}

fn image(text: &str) -> Result<(String, PathBuf), String> {
    let (image, program) = text.split_once('=').ok_or("expected IMAGE=PROGRAM")?;
    Ok((image.to_owned(), PathBuf::from(program)))
}

impl Serve {
    pub(super) async fn run(self) -> Result<()> {
        let place = Place::find()?;
        let Some(_lock) = place.lock()? else { bail!("a control plane is up already") };
        place.forget()?;
        let mut told = std::pin::pin!(told_to_end()?);
        let started = tokio::select! {
            started = start(&place, self.images) => started,
            // Dropped in the middle of its start, the control plane takes its processes with it.
            () = &mut told => return Ok(()),
        };
        let (control_plane, player) = started?;
        place.write(&State {
            pid: Some(std::process::id()),
            kubeconfig: control_plane.kubeconfig(),
            bin: place.bin(),
        })?;
        told.await;
        place.forget()?;
        player.stop().await?;
        control_plane.stop().await
    }
}

async fn start(place: &Place, images: Vec<(String, PathBuf)>) -> Result<(ControlPlane, Player)> {
    let options = Options { directory: Some(place.cluster()), ..Options::default() };
    let control_plane = ControlPlane::start(options).await?;
    let player = Player::start(&control_plane, images)?;
    Ok((control_plane, player))
}

/// Completes at the first SIGTERM or SIGINT from now on.
fn told_to_end() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
