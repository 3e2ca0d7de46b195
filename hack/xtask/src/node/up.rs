//! `up`: from nothing to a node that takes pods.
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use holdfast_e2e::binaries;
use holdfast_e2e::node::missing;
use holdfast_e2e::toolchain::Tools;

use crate::cluster::{Kind, Place, State, Supervisor, environment};

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// All addresses are of IPv6
    #[arg(long)]
    ipv6: bool,
}

impl Up {
    pub(super) async fn run(self) -> Result<()> {
        let place = Place::find(Kind::Node)?;
        if let Some(state) = place.read()? {
            eprintln!("A node is up already.");
            environment::print(&state);
            return Ok(());
        }
        let state = self.start(place).await?;
        environment::print(&state);
        Ok(())
    }

    async fn start(self, place: Place) -> Result<State> {
        place.must_be_free()?;
        if let Some(missing) = missing() {
            bail!("no node can run here: {missing}");
        }
        let tools = Tools::ensure().await?;
        place.link(&tools)?;
        let arguments = super::arguments(&place, &binaries::build()?, self.ipv6).await?;
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
}
