//! The supervisor that `up` leaves behind: owns control plane and player until it is told to end.
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use holdfast_e2e::control_plane::{ControlPlane, Options};
use holdfast_e2e::player::Player;

use crate::cluster::{Kind, Place, State, end_requested};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Play Pods of this image with this program
    #[arg(long = "image", value_name = "IMAGE=PROGRAM", value_parser = xtask::arguments::parse_image)]
    images: Vec<(String, PathBuf)>,
}

impl Serve {
    pub(super) async fn run(self) -> Result<()> {
        let place = Place::find(Kind::ControlPlane)?;
        let Some(_lock) = place.lock()? else { bail!("a control plane is up already") };
        place.forget()?;
        let mut end = std::pin::pin!(end_requested()?);
        let started = tokio::select! {
            started = start(&place, self.images) => started,
            // Dropped in the middle of its start, the control plane takes its processes with it.
            () = &mut end => return Ok(()),
        };
        let (control_plane, player) = started?;
        place.write(&State {
            pid: Some(std::process::id()),
            kubeconfig: control_plane.kubeconfig(),
            bin: place.bin(),
            first_process: None,
        })?;
        end.await;
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
