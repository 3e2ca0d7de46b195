//! Runs the commands that the demo shows, exactly as shown.
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdfast_e2e::{cache, leash};
use rustix::process::{Pid, Signal};
use tokio::sync::mpsc;

use crate::cluster::State;

const LIMIT: Duration = Duration::from_secs(90);

/// A shell in the workspace whose `kubectl` and `helm` talk to the demo's control plane.
#[derive(Debug)]
pub(super) struct Shell {
    kubeconfig: OsString,
    path: OsString,
}

/// A command that runs. Dropping it kills it and all that it started.
struct Running(Child);

impl Shell {
    /// As after `eval "$(cargo xtask control-plane env)"`.
    ///
    /// # Errors
    /// The PATH cannot be extended by that directory.
    pub(super) fn new(state: &State) -> Result<Self> {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let directories = std::iter::once(state.bin.clone()).chain(std::env::split_paths(&old));
        let path = std::env::join_paths(directories).context("extend the PATH")?;
        Ok(Self { kubeconfig: state.kubeconfig.clone().into_os_string(), path })
    }

    /// Runs a command and calls `line` for each line that it writes, when it does.
    ///
    /// # Errors
    /// It cannot be started, or does not end within 90 s.
    pub(super) async fn run(&self, text: &str, mut line: impl FnMut(&str)) -> Result<(ExitStatus, String)> {
        let (mut running, mut lines) = self.start(text).with_context(|| format!("run `{text}`"))?;
        let mut all = String::new();
        let read = async {
            while let Some(next) = lines.recv().await {
                line(&next);
                all.push_str(&next);
                all.push('\n');
            }
        };
        if tokio::time::timeout(LIMIT, read).await.is_err() {
            bail!("`{text}` did not end within {} s", LIMIT.as_secs());
        }
        // It has closed its output, so it is about to end.
        let status = running.0.wait().with_context(|| format!("wait for `{text}`"))?;
        Ok((status, all))
    }

    fn start(&self, text: &str) -> Result<(Running, mpsc::UnboundedReceiver<String>)> {
        let (reader, writer) = std::io::pipe().context("make a pipe")?;
        let mut command = leash::command("sh")?;
        command
            .args(["-c", text])
            .current_dir(cache::workspace())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().context("share the pipe")?)
            .stderr(writer)
            // A group of its own, so that nothing of it is left when it is killed.
            .process_group(0);
        let running = Running(leash::spawn(command)?);
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        });
        Ok((running, lines))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once it was waited for, its pid may be another's.
        if matches!(self.0.try_wait(), Ok(None)) {
            if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            }
            let _ = self.0.wait();
        }
    }
}
