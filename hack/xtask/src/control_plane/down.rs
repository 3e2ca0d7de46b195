//! `down`: the end of what `up` started.
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use super::state::Place;

/// The supervisor gives its own children less.
const GRACE: Duration = Duration::from_secs(60);

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
    // The lock is held, so the pid is still the supervisor's.
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("the supervisor has no pid")?;
    rustix::process::kill_process(pid, Signal::TERM).context("ask the control plane to stop")?;
    let start = Instant::now();
    while place.is_served()? {
        if start.elapsed() > GRACE {
            // Its children are on its leash and go with it.
            rustix::process::kill_process(pid, Signal::KILL).context("kill the control plane")?;
            place.forget()?;
            bail!("the control plane did not stop within {} s and was killed", GRACE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eprintln!("The control plane is down.");
    place.forget()
}
