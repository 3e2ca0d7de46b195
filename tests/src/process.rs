//! A running program on the leash: signals without the danger of hitting a reused pid, and an exit that can be awaited from
//! any runtime.
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::sync::watch;

use crate::leash;
pub use holdfast_build::log::tail;

/// A started program. Dropping it kills the program (`SIGKILL`) without waiting.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    child: Arc<Mutex<Child>>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts `command` (from [`leash::command`]) with its output appended to the file `log`.
    ///
    /// # Errors
    /// The log cannot be opened, or the program cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let open = || File::options().create(true).append(true).open(log);
        let output = open().with_context(|| format!("open the log {}", log.display()))?;
        let errors = output.try_clone().context("share the log between stdout and stderr")?;
        command.stdout(output).stderr(errors);
        Self::start_here(name, command)
    }

    /// Starts `command` (from [`leash::command`]) with its output where that of this process goes, unless it says otherwise.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start_here(name: &str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null());
        let child = leash::spawn(command).with_context(|| format!("start {name}"))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the child has no pid")?;
        let child = Arc::new(Mutex::new(child));
        let (sender, exit) = watch::channel(None);
        let waiting = Arc::clone(&child);
        std::thread::spawn(move || {
            // Wait without reaping: under the lock, the pid is ours until `wait` has returned.
            let _ = rustix::io::retry_on_intr(|| {
                rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            });
            let mut child = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            sender.send_replace(child.wait().ok());
        });
        Ok(Self { name: name.to_owned(), pid, child, exit })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id; meaningful while [`Self::is_running`].
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether the program has not ended yet.
    pub fn is_running(&self) -> bool {
        self.exit.has_changed().is_ok() && self.exit.borrow().is_none()
    }

    /// How the program ended, or `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Sends a signal; does nothing if the program has ended.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let _reaping = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if self.exit_status().is_some() {
            return Ok(());
        }
        match rustix::process::kill_process(self.pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("signal {}", self.name)),
        }
    }

    /// Completes when the program has ended.
    pub async fn exited(&self) {
        let mut exit = self.exit.clone();
        // An error says that the waiting thread is gone, which it is only after the end of the program.
        let _ = exit.wait_for(Option::is_some).await;
    }

    /// Asks the program to end (`SIGTERM`) and kills it if it did not within `grace`.
    ///
    /// # Errors
    /// It is still there 5 s after `SIGKILL`.
    pub async fn stop(&self, grace: Duration) -> Result<()> {
        // A stopped process does not see SIGTERM before it is continued.
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT)?;
        if tokio::time::timeout(grace, self.exited()).await.is_ok() {
            return Ok(());
        }
        self.kill().await
    }

    /// Kills the program (`SIGKILL`) and waits for its end.
    ///
    /// # Errors
    /// It is still there after 5 s.
    pub async fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        if tokio::time::timeout(Duration::from_secs(5), self.exited()).await.is_err() {
            bail!("{} (pid {}) is still there 5 s after SIGKILL", self.name, self.pid());
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.signal(Signal::KILL);
    }
}

/// The resident memory of a process in bytes.
///
/// # Errors
/// There is no such process.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("no process {pid}"))?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
        .with_context(|| format!("process {pid} has no resident memory: it has ended"))?;
    Ok(kibibytes * 1024)
}
