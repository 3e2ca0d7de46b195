//! The process that owns a control plane or a node, seen from the command that starts it.
//!
//! It lies on a tether, the pipe that is its standard input: when the pipe is closed before the word [`STAY`] came, it takes
//! everything down and ends. So a command that fails, panics, or is killed in the middle leaves nothing behind.
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use holdfast_e2e::process;
use rustix::process::{Pid, Signal};

use super::place::{Place, State};

/// What lets the supervisor live on when the tether ends.
pub(crate) const STAY: &str = "stay";

const READY: Duration = Duration::from_secs(180);
/// The supervisor gives its own children less.
const GRACE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// A supervisor that this process started. Dropping it makes it take everything down, without waiting.
#[derive(Debug)]
pub(crate) struct Supervisor {
    place: Place,
    child: Child,
}

impl Supervisor {
    /// Starts it; `arguments` are for the subcommand `serve` of what the place is of.
    ///
    /// # Errors
    /// There is one already, or the process cannot be started.
    pub(crate) fn launch(place: Place, arguments: &[OsString]) -> Result<Self> {
        place.must_be_free()?;
        let log = File::create(place.log()).with_context(|| format!("create {}", place.log().display()))?;
        let errors = log.try_clone().context("share the log")?;
        let mut command = Command::new(std::env::current_exe().context("find the running executable")?);
        command.args([place.kind().command(), "serve"]).args(arguments);
        // A group of its own: Ctrl-C in this terminal is not meant for it.
        command.process_group(0).stdin(Stdio::piped()).stdout(log).stderr(errors);
        let child = command.spawn().with_context(|| format!("start a {} in the background", place.kind().noun()))?;
        Ok(Self { place, child })
    }

    /// Returns when it is ready for work.
    ///
    /// # Errors
    /// It does not start (with the end of its log), or not within 180 s.
    pub(crate) async fn ready(&mut self) -> Result<State> {
        let start = Instant::now();
        let noun = self.place.kind().noun();
        loop {
            if let Some(status) = self.child.try_wait().context("wait for the supervisor")? {
                bail!("the {noun} did not start ({status}):\n{}", process::tail(&self.place.log(), 20));
            }
            if let Some(state) = self.place.read()? {
                return Ok(state);
            }
            if start.elapsed() > READY {
                let log = process::tail(&self.place.log(), 20);
                bail!("the {noun} was not ready within {} s:\n{log}", READY.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Lets it live on when this process ends.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn keep(mut self) -> Result<()> {
        let mut tether = self.child.stdin.take().context("the supervisor was let go already")?;
        tether.write_all(STAY.as_bytes()).context("tell the supervisor to stay: has it ended?")
    }

    /// Takes it down, and returns when nothing of it runs any more.
    ///
    /// # Errors
    /// It does not end within 60 s; it is killed then.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let noun = self.place.kind().noun();
        drop(self.child.stdin.take());
        let start = Instant::now();
        while self.child.try_wait().context("wait for the supervisor")?.is_none() {
            if start.elapsed() > GRACE {
                let _ = self.child.kill();
                let _ = self.child.wait();
                self.place.forget()?;
                bail!("the {noun} did not stop within {} s and was killed", GRACE.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
        self.place.forget()
    }
}

/// Asks the supervisor of an earlier command to end, and returns when it has.
///
/// # Errors
/// It does not end within 60 s; it is killed then.
pub(super) async fn stop_other(place: &Place, pid: u32) -> Result<()> {
    // The lock is held, so the pid is still the supervisor's.
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("the supervisor has no pid")?;
    rustix::process::kill_process(pid, Signal::TERM).context("ask the supervisor to stop")?;
    let start = Instant::now();
    while place.is_served()? {
        if start.elapsed() > GRACE {
            // Its children are on its leash and go with it.
            rustix::process::kill_process(pid, Signal::KILL).context("kill the supervisor")?;
            place.forget()?;
            bail!("the {} did not stop within {} s and was killed", place.kind().noun(), GRACE.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
    place.forget()
}
