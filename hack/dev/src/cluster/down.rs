//! `down`: the end of what `up` started.
use anyhow::{Result, bail};

use super::place::Place;
use super::supervisor;

pub(crate) async fn run(place: Place) -> Result<()> {
    let noun = place.kind().noun();
    let Some(state) = place.read()? else {
        if place.is_served()? {
            bail!("the {noun} is just starting or stopping; its log is {}", place.log().display());
        }
        eprintln!("No {noun} is up.");
        return place.forget();
    };
    let Some(pid) = state.pid else {
        eprintln!("Not using {} any more.", state.kubeconfig.display());
        return place.forget();
    };
    supervisor::stop_other(&place, pid).await?;
    eprintln!("The {noun} is down.");
    Ok(())
}
