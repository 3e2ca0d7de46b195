//! Real `kubectl` and `helm`, run as a given user.
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::leash;
use crate::toolchain::Tools;

const LIMIT: Duration = Duration::from_secs(60);

/// Runs `kubectl` and `helm` against one kubeconfig and context.
#[derive(Debug, Clone)]
pub struct Kubectl {
    tools: Tools,
    kubeconfig: PathBuf,
    context: String,
    limit: Duration,
    environment: Vec<(String, String)>,
}

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it said.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Output {
    /// The standard output of a command that must succeed.
    ///
    /// # Errors
    /// It did not: with what it said.
    pub fn success(self) -> Result<String> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        bail!("{}: {}{}", self.status, self.stdout, self.stderr.trim_end())
    }

    /// The standard error of a command that must be refused.
    ///
    /// # Errors
    /// It succeeded.
    pub fn refusal(self) -> Result<String> {
        if self.status.success() {
            bail!("it should have been refused, but said: {}", self.stdout.trim_end());
        }
        Ok(self.stderr)
    }
}

impl Kubectl {
    /// Acts as the user of `context` in `kubeconfig`.
    pub fn new(tools: &Tools, kubeconfig: &Path, context: &str) -> Self {
        Self {
            tools: tools.clone(),
            kubeconfig: kubeconfig.to_path_buf(),
            context: context.to_owned(),
            limit: LIMIT,
            environment: Vec::new(),
        }
    }

    /// The same with another limit than 60 s for a call.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The same with an environment variable, such as `KUBE_EDITOR`.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs `kubectl` with `args`, and `stdin` if given. A failure of the command is not an error here: see [`Output`].
    ///
    /// # Errors
    /// It cannot be started, or does not end within the limit (it is killed then).
    pub async fn run(&self, args: &[&str], stdin: Option<&str>) -> Result<Output> {
        let mut command = leash::command(&self.tools.kubectl)?;
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["--context", &self.context]).args(args);
        command.envs(self.environment.iter().cloned());
        finish(command, &format!("kubectl {}", args.join(" ")), stdin, self.limit).await
    }

    /// Runs a command line that was pasted into a POSIX shell, in which `kubectl` is this user's; otherwise as [`Self::run`].
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn shell(&self, line: &str) -> Result<Output> {
        let mut command = leash::command("sh")?;
        let script =
            format!("kubectl() {{ \"$KUBECTL\" --kubeconfig \"$CONFIG\" --context \"$CONTEXT\" \"$@\"; }}\n{line}");
        command.args(["-c", &script]).env("KUBECTL", &self.tools.kubectl);
        command.env("CONFIG", &self.kubeconfig).env("CONTEXT", &self.context);
        finish(command, line, None, self.limit).await
    }

    /// Runs `helm` with `args`; otherwise as [`Self::run`].
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn helm(&self, args: &[&str]) -> Result<Output> {
        let mut command = leash::command(&self.tools.helm)?;
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["--kube-context", &self.context]).args(args);
        finish(command, &format!("helm {}", args.join(" ")), None, self.limit).await
    }
}

async fn finish(mut command: Command, described: &str, stdin: Option<&str>, limit: Duration) -> Result<Output> {
    let input = if stdin.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = leash::spawn(command).with_context(|| described.to_owned())?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the child has no pid")?;
    // A handle that cannot hit another process that got the same pid.
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).context("get a handle of the child")?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), stdin.map(str::to_owned)) {
        // A command that ends early closes the pipe, which is its own business.
        std::thread::spawn(move || pipe.write_all(text.as_bytes()));
    }
    let mut waiting = tokio::task::spawn_blocking(move || child.wait_with_output());
    let Ok(ended) = tokio::time::timeout(limit, &mut waiting).await else {
        let _ = rustix::process::pidfd_send_signal(&handle, Signal::KILL);
        bail!("`{described}` did not end within {} s", limit.as_secs());
    };
    let output = ended.context("wait for a command")?.with_context(|| described.to_owned())?;
    Ok(Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
