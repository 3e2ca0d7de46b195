//! `up`: from nothing to a node that takes pods.
use std::time::Instant;

use anyhow::{Result, bail};
use holdfast_e2e::binaries;
use holdfast_e2e::node::missing;
use holdfast_e2e::toolchain::Tools;

use crate::cluster::{Kind, Place, State, Supervisor, environment};

/// All addresses are of IPv6, if `is_v6`.
pub(super) async fn run(is_v6: bool) -> Result<()> {
    let place = Place::find(Kind::Node)?;
    if let Some(state) = place.read()? {
        eprintln!("A node is up already.");
        environment::print(&state);
        return Ok(());
    }
    let state = start(place, is_v6).await?;
    environment::print(&state);
    Ok(())
}

async fn start(place: Place, is_v6: bool) -> Result<State> {
    place.must_be_free()?;
    if let Some(missing) = missing() {
        bail!("no node can run here: {missing}");
    }
    place.link(&Tools::ensure()?)?;
    let arguments = super::supervisor_arguments(&place, &binaries::build()?, is_v6)?;
    let start = Instant::now();
    let mut supervisor = Supervisor::launch(place, &arguments)?;
    let state = supervisor.ready().await?;
    supervisor.keep()?;
    eprintln!(
        "The node is ready after {:.1} s. Contexts: admin (current), alice, bob. Within it: cargo xtask node exec",
        start.elapsed().as_secs_f64()
    );
    Ok(state)
}
