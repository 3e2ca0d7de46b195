//! `down`: the end of what `up` started.
use anyhow::{Result, bail};

use super::state::Place;
use super::supervisor;

pub(super) async fn run() -> Result<()> {
    let place = Place::find()?;
    let Some(state) = place.read()? else {
        if place.is_served()? {
            bail!("the control plane is just starting or stopping; its log is {}", place.log().display());
        }
        eprintln!("No control plane is up.");
        return place.forget();
    };
    let Some(pid) = state.pid else {
        eprintln!("Not using {} any more.", state.kubeconfig.display());
        return place.forget();
    };
    supervisor::stop_other(&place, pid).await?;
    eprintln!("The control plane is down.");
    Ok(())
}
