//! Commands one after the other, each shown, with the time it took.
use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use holdfast_build::leash;

/// What was run, and how it went.
#[derive(Debug)]
pub(crate) struct Phases {
    begun: Instant,
    done: Vec<Phase>,
}

#[derive(Debug)]
struct Phase {
    name: String,
    time: Duration,
    failed: bool,
}

impl Phases {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), done: Vec::new() }
    }

    /// Runs a command (on the leash) with its output on the terminal. That it fails is counted, and returned as `false`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn run(&mut self, name: &str, shown: &str, mut command: Command) -> Result<bool> {
        println!("\n== {name}\n$ {shown}");
        command.stdin(Stdio::null());
        let start = Instant::now();
        let status = leash::spawn(command)?.wait().with_context(|| format!("wait for `{shown}`"))?;
        if !status.success() {
            println!("failed: {shown} ({status})");
        }
        self.add(name, start.elapsed(), !status.success());
        Ok(status.success())
    }

    /// Counts something that was done otherwise.
    pub(crate) fn add(&mut self, name: &str, time: Duration, failed: bool) {
        self.done.push(Phase { name: name.to_owned(), time, failed });
    }

    /// Says how long everything took.
    ///
    /// # Errors
    /// Something failed: with the names.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n== times");
        for phase in &self.done {
            let mark = if phase.failed { "FAILED" } else { "ok" };
            println!("{:>8.1} s  {:<6}  {}", phase.time.as_secs_f64(), mark, phase.name);
        }
        println!("{:>8.1} s  in all", self.begun.elapsed().as_secs_f64());
        let failed: Vec<String> = self.done.into_iter().filter(|phase| phase.failed).map(|phase| phase.name).collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }
}

/// A command as one would type it.
pub(crate) fn shown(program: &str, arguments: &[impl AsRef<OsStr>]) -> String {
    let mut text = program.to_owned();
    for argument in arguments {
        text.push(' ');
        text.push_str(&argument.as_ref().to_string_lossy());
    }
    text
}
