//! A node, seen from outside: started, waited for, ended.
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cgroups::{self, Sweeper};
use super::spec::Spec;
use crate::{leash, process};

/// How long a node may take to be ready. On a quiet machine with 2 cores, it takes 8 s.
const READY: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// A node that was started. Dropping it ends it; [`Node::stop`] waits for the end as well.
#[derive(Debug)]
pub struct Node {
    spec: Spec,
    unshare: Child,
    sweeper: Option<Sweeper>,
}

impl Node {
    /// Starts a node. `program` and its `arguments` are an executable with the subcommands `enter`, `run` and `sweep`, which
    /// call the functions of these names. With a command in `spec`, the node's output is the terminal's; otherwise it goes
    /// into a log in the directory.
    ///
    /// # Errors
    /// A cgroup cannot be made, or a process cannot be started.
    pub fn launch(mut spec: Spec, program: &Path, arguments: &[&str]) -> Result<Self> {
        cgroups::remove_abandoned();
        prepare(&spec)?;
        let call = |name: &str| {
            let mut call: Vec<OsString> = vec![program.into()];
            call.extend(arguments.iter().map(OsString::from));
            call.push(name.into());
            call
        };
        let sweep = call("sweep");
        let mut command = Command::new(program);
        command.args(sweep.iter().skip(1)).arg(std::process::id().to_string());
        let sweeper = Sweeper::start(command)?;
        spec.cgroups = cgroups::create()?;
        spec.write()?;
        let mut command = leash::command("unshare")?;
        command
            .args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL"])
            .args(["--net", "--uts", "--ipc"])
            .args(call("enter"))
            .arg(&spec.directory)
            .args(call("run"))
            .arg(&spec.directory)
            .stdin(Stdio::null());
        if spec.command.is_empty() {
            let log = fs::File::create(log(&spec)).context("create the node's log")?;
            command.stdout(log.try_clone().context("share the node's log")?).stderr(log);
        }
        let unshare = leash::spawn(command)?;
        Ok(Self { spec, unshare, sweeper: Some(sweeper) })
    }

    /// What it is like.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Returns when the node is ready for pods.
    ///
    /// # Errors
    /// It ends before (with the end of its log), or is not ready within 120 s.
    pub async fn ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while !self.spec.ready().exists() {
            if let Some(status) = self.unshare.try_wait().context("wait for the node")? {
                bail!("the node did not start ({status}):\n{}", process::tail(&log(&self.spec), 20));
            }
            if start.elapsed() > READY {
                let log = process::tail(&log(&self.spec), 20);
                bail!("the node was not ready within {} s:\n{log}", READY.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Returns when the node has ended by itself, because its command has, or its start failed: with the command's status, or
    /// that of the start.
    ///
    /// # Errors
    /// The kernel does not say.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.unshare.try_wait().context("wait for the node")? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The pid of the node's first process in the namespace of this process.
    ///
    /// # Errors
    /// The node has ended.
    pub fn first_process(&self) -> Result<u32> {
        let pid = self.unshare.id();
        let path = PathBuf::from(format!("/proc/{pid}/task/{pid}/children"));
        let text = fs::read_to_string(&path).context("the node has ended")?;
        text.trim().parse().context("the node has no first process")
    }

    /// Ends the node, and returns when nothing of it is there any more.
    pub fn stop(mut self) {
        self.kill();
        if let Some(sweeper) = self.sweeper.take() {
            sweeper.finish();
        }
    }

    /// The kernel ends all processes of a pid namespace with its first one, which goes with `unshare`.
    fn kill(&mut self) {
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn prepare(spec: &Spec) -> Result<()> {
    let directory = &spec.directory;
    for old in [spec.cluster(), spec.logs()] {
        let _ = fs::remove_dir_all(old);
    }
    for old in [spec.socket(), spec.ready()] {
        let _ = fs::remove_file(old);
    }
    fs::create_dir_all(spec.logs()).with_context(|| format!("create {}", directory.display()))
}

fn log(spec: &Spec) -> PathBuf {
    spec.logs().join("node.log")
}
