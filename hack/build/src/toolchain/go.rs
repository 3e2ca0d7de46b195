//! Calling the Go tool: the one place that knows how.
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use crate::progress::Progress;
use crate::{leash, log as logs};

const LIMIT: Duration = Duration::from_secs(45 * 60);

/// What to tell Go to build.
pub(super) struct Build<'a> {
    /// How it is called in progress lines.
    pub(super) name: &'a str,
    /// How long it takes from nothing.
    pub(super) duration: &'a str,
    /// The directory of the module.
    pub(super) module: &'a Path,
    /// The package within it.
    pub(super) package: &'a str,
    /// `-X` values: variables that carry version numbers.
    pub(super) stamps: &'a [String],
    /// Build tags, separated by commas.
    pub(super) tags: &'a str,
    /// Whether the program needs nothing of this machine, so that it runs in a container or in another one's namespaces.
    pub(super) is_static: bool,
    /// Where the binary goes.
    pub(super) output: &'a Path,
}

/// The version and platform of the Go that is used in `module`, such as `go1.26.8 linux/amd64`.
///
/// # Errors
/// Go is missing (one line that says what to install) or does not work.
pub(super) fn version(module: &Path) -> Result<String> {
    let output = match Command::new("go").args(["env", "GOVERSION", "GOOS", "GOARCH"]).current_dir(module).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!(
                "Go is missing: install Go 1.26 or later (https://go.dev/dl) so that `go` is on the PATH; it builds the control plane"
            )
        }
        Err(error) => return Err(error).context("run `go env`"),
    };
    if !output.status.success() {
        bail!("`go env` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The version of a module that `go.mod` in `module` requires.
///
/// # Errors
/// Go does not know it.
pub(super) fn required(module: &Path, dependency: &str) -> Result<String> {
    let output = Command::new("go")
        .args(["list", "-m", "-f", "{{.Version}}", dependency])
        .current_dir(module)
        .output()
        .context("run `go list`")?;
    if !output.status.success() {
        bail!("`go list -m {dependency}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Build<'_> {
    /// Runs the build, with progress on stderr.
    ///
    /// # Errors
    /// It fails (with the end of its output, which stays in `log`) or takes longer than 45 minutes.
    pub(super) fn run(&self, log: &Path) -> Result<()> {
        let mut child = leash::spawn(self.command(log)?)?;
        let start = Instant::now();
        let mut progress = Progress::begin(&format!("Building {} ({})", self.name, self.duration));
        let status = loop {
            if let Some(status) = child.try_wait().context("wait for `go build`")? {
                break status;
            }
            if start.elapsed() > LIMIT {
                if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                }
                let minutes = LIMIT.as_secs() / 60;
                bail!("building {} took longer than {minutes} minutes; see {}", self.name, log.display());
            }
            progress.update(&packages(log), "");
            std::thread::sleep(Duration::from_millis(100));
        };
        if !status.success() {
            bail!("building {} failed ({status}):\n{}", self.name, logs::tail(log, 20));
        }
        progress.finish(&format!("done, {}", packages(log)));
        Ok(())
    }

    fn command(&self, log: &Path) -> Result<Command> {
        let mut flags = vec!["-s".to_owned(), "-w".to_owned()];
        flags.extend(self.stamps.iter().map(|stamp| format!("-X {stamp}")));
        let output = std::fs::File::create(log).with_context(|| format!("create the build log {}", log.display()))?;
        let errors = output.try_clone().context("share the build log")?;
        let mut command = leash::command("go")?;
        command
            // With the name of each package that is compiled, which is the progress.
            .args(["build", "-v", "-trimpath", "-buildvcs=false", "-tags", self.tags, "-ldflags", &flags.join(" ")])
            .arg("-o")
            .arg(self.output)
            .arg(self.package)
            .current_dir(self.module)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        if self.is_static {
            command.env("CGO_ENABLED", "0");
        }
        Ok(command)
    }
}

/// How much Go has compiled; what lies in its own cache is not counted.
fn packages(log: &Path) -> String {
    let count = std::fs::read_to_string(log).map_or(0, |text| text.lines().count());
    format!("{count} packages compiled")
}
