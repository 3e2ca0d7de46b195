//! A leash for child processes: none survives its parent, not even after `kill -9` of it.
//!
//! A command is run as `<leash executable> <pid of the parent> <command> <arguments>`. The leash asks the kernel to kill it
//! when its parent is gone (which survives `exec`) and becomes the command. The kernel means by "parent" the *thread* that
//! forked; hence all children are forked by one thread that lives as long as the process.
//!
//! What it does not do: a grandchild that the command starts itself is not on the leash.
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};
use std::sync::{OnceLock, mpsc};

use anyhow::{Context, Result, anyhow};
use rustix::process::Signal;

static EXECUTABLE: OnceLock<(PathBuf, Vec<OsString>)> = OnceLock::new();
static SPAWNER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();

struct Request {
    command: Command,
    answer: mpsc::Sender<io::Result<Child>>,
}

/// Names the executable (with leading arguments) whose `main` is [`main`]. Only the first call counts.
///
/// Without it, `leash` beside the running executable is used, or one directory up (test binaries lie in `deps/`).
pub fn set_executable(path: PathBuf, args: Vec<OsString>) {
    let _ = EXECUTABLE.set((path, args));
}

/// A command that runs `program` on the leash of this process; to be started with [`spawn`].
///
/// # Errors
/// No leash executable was set, and none lies beside the running one.
pub fn command(program: impl AsRef<OsStr>) -> Result<Command> {
    let (path, args) = match EXECUTABLE.get() {
        Some((path, args)) => (path.clone(), args.clone()),
        None => (beside_this_executable()?, Vec::new()),
    };
    let mut command = Command::new(path);
    command.args(args).arg(std::process::id().to_string()).arg(program);
    Ok(command)
}

/// Starts a command from the thread that lives as long as the process.
///
/// # Errors
/// Those of [`Command::spawn`]. A program that cannot be executed is not one of them: the leash then ends with code 127.
pub fn spawn(command: Command) -> Result<Child> {
    let (answer, answered) = mpsc::channel();
    let described = format!("start {}", command.get_program().display());
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, received) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for Request { mut command, answer } in received {
                let _ = answer.send(command.spawn());
            }
        });
        requests
    });
    spawner.send(Request { command, answer }).map_err(|_| anyhow!("the thread that starts processes is gone"))?;
    answered.recv().context("the thread that starts processes is gone")?.context(described)
}

/// What the leash executable does: `<pid of the parent> <command> <arguments>`. Returns only if it failed.
#[allow(clippy::print_stderr, reason = "the leash has no other way to say why the command does not run")]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let error = become_command(args.into_iter());
    eprintln!("leash: {error:#}");
    ExitCode::from(127)
}

fn become_command(mut args: impl Iterator<Item = OsString>) -> anyhow::Error {
    let parent = args.next().and_then(|pid| pid.to_str()?.parse::<u32>().ok());
    let (Some(parent), Some(program)) = (parent, args.next()) else {
        return anyhow!("usage: <pid of the parent> <command> [arguments]");
    };
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return anyhow!(error).context("ask for a signal at the parent's death");
    }
    // Asked too late: the parent was gone before the kernel knew that we care.
    if std::os::unix::process::parent_id() != parent {
        return anyhow!("the parent {parent} is gone");
    }
    let error = Command::new(&program).args(args).exec();
    anyhow!(error).context(format!("execute {}", program.display()))
}

fn beside_this_executable() -> Result<PathBuf> {
    let this = std::env::current_exe().context("find the running executable")?;
    this.ancestors().skip(1).take(2).map(|directory| directory.join("leash")).find(|path| path.is_file()).with_context(
        || format!("no executable `leash` beside {}: build it with `cargo build -p holdfast-e2e`", this.display()),
    )
}
