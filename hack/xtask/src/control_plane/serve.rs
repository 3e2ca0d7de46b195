//! The supervisor that `up` leaves behind: owns control plane and player until it is told to end.
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use holdfast_e2e::control_plane::{ControlPlane, Options};
use holdfast_e2e::player::Player;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::state::{Place, State};
use super::supervisor::STAY;

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Play Pods of this image with this program
    #[arg(long = "image", value_name = "IMAGE=PROGRAM", value_parser = super::image)]
    images: Vec<(String, PathBuf)>,
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

/// Completes when this process should end: at the first SIGTERM or SIGINT from now on, or when the tether breaks.
fn told_to_end() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let tether = tether();
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = tether => {}
        }
    })
}

/// Completes when standard input ends without the word that lets us stay: whoever started us is gone, or tells us to go.
fn tether() -> impl Future<Output = ()> {
    let (broken, break_of_tether) = oneshot::channel();
    // A thread of its own: tokio would wait at the end for one of its threads that reads.
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = std::io::stdin().read_to_string(&mut text);
        if text.trim() != STAY {
            let _ = broken.send(());
        }
    });
    async move {
        if break_of_tether.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
