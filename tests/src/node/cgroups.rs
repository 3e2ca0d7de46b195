//! The cgroups of a node: one below that of its launcher in each hierarchy, which becomes the root of what the node sees.
//!
//! cgroup v1 was tried. With v2, the node's processes move into a leaf `init` before controllers are handed down, as the
//! kernel wants it; that has been built after the documentation and was not tried.
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const ROOT: &str = "/sys/fs/cgroup";
const PREFIX: &str = "holdfast-node-";
/// What the kubelet needs of cgroup v2.
const CONTROLLERS: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
/// How long the kernel may take to end what it has killed.
const EMPTYING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Whether this machine has the unified hierarchy of cgroup v2, and no other.
pub fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").is_file()
}

/// Where cgroups of a node can be made: the controllers of each hierarchy and the directory below which to make one.
///
/// # Errors
/// There is none, or it may not be written to: what is missing.
pub(super) fn parents() -> Result<Vec<(String, PathBuf)>> {
    let found = if is_unified() { vec![unified()?] } else { hierarchies()? };
    for (controllers, parent) in &found {
        let procs = parent.join("cgroup.procs");
        fs::OpenOptions::new().append(true).open(&procs).with_context(|| format!("cgroup {controllers}"))?;
    }
    Ok(found)
}

/// Makes the node's cgroups, named after this process.
///
/// # Errors
/// The kernel says no.
pub(super) fn create() -> Result<Vec<(String, PathBuf)>> {
    let name = format!("{PREFIX}{}", std::process::id());
    let mut made = Vec::new();
    for (controllers, parent) in parents()? {
        let own = parent.join(&name);
        if let Err(error) = fs::create_dir(&own)
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(error).with_context(|| format!("create {}", own.display()));
        }
        // A new cgroup of v1 may use nothing of these before it is said what, and nothing may enter it until then.
        for file in ["cpuset.cpus", "cpuset.mems"].into_iter().filter(|_| controllers == "cpuset") {
            fs::copy(parent.join(file), own.join(file)).with_context(|| format!("copy {file}"))?;
        }
        made.push((controllers, own));
    }
    Ok(made)
}

/// Moves this process into the node's cgroups.
///
/// # Errors
/// The kernel says no.
pub(super) fn enter(cgroups: &[(String, PathBuf)]) -> Result<()> {
    for (_, own) in cgroups {
        // 0 is the process that writes, whatever namespace its number is of.
        fs::write(own.join("cgroup.procs"), "0").with_context(|| format!("enter {}", own.display()))?;
    }
    Ok(())
}

/// Hands the controllers down to the pods, where the hierarchy is one: to be called in the node, with its root mounted.
///
/// # Errors
/// The kernel says no.
pub(super) fn delegate() -> Result<()> {
    let root = Path::new(ROOT);
    fs::create_dir_all(root.join("init")).context("create the cgroup init")?;
    fs::write(root.join("init/cgroup.procs"), "0").context("enter the cgroup init")?;
    let text = CONTROLLERS.map(|name| format!("+{name}")).join(" ");
    fs::write(root.join("cgroup.subtree_control"), text).context("hand down the controllers of cgroup v2")
}

/// What removes the cgroups when the value is dropped, or when this process is gone, even by `kill -9`.
#[derive(Debug)]
pub struct Sweeper {
    tether: ChildStdin,
    child: Child,
}

impl Sweeper {
    /// Starts it: `command` is a program that calls [`sweep`] for this process.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        // Not on the leash, and in a group of its own: neither our death nor Ctrl-C is meant for it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().context("start what clears up after the node")?;
        let tether = child.stdin.take().context("what clears up has no input")?;
        Ok(Self { tether, child })
    }

    /// Has it sweep, and returns when it has.
    pub(super) fn finish(self) {
        let Self { tether, mut child } = self;
        drop(tether);
        let _ = child.wait();
    }
}

/// Waits until standard input ends, and then removes the cgroups that process `pid` made, as soon as they are empty.
pub fn sweep(pid: u32) {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let start = Instant::now();
    while !remove(&|owner| owner == pid) && start.elapsed() < EMPTYING {
        std::thread::sleep(LOOK);
    }
}

/// Removes the cgroups of nodes whose launchers are gone.
pub(super) fn remove_abandoned() {
    remove(&|owner| !Path::new("/proc").join(owner.to_string()).exists());
}

/// Removes the cgroups of these owners if they are empty; whether none is there any more.
fn remove(of: &dyn Fn(u32) -> bool) -> bool {
    let Ok(parents) = parents() else { return true };
    let mut gone = true;
    for (_, parent) in parents {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
            if owner.is_some_and(of) {
                gone &= remove_tree(&entry.path());
            }
        }
    }
    gone
}

/// cgroups are removed from the leaves up, and only as directories: the files in them are the kernel's.
fn remove_tree(path: &Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    fs::remove_dir(path).is_ok() || !path.exists()
}

/// The directory of cgroup v2 whose children may have controllers: the top of what is seen here, since processes live in all
/// the others.
fn unified() -> Result<(String, PathBuf)> {
    let root = Path::new(ROOT);
    let text = fs::read_to_string(root.join("cgroup.controllers")).context("read the controllers of cgroup v2")?;
    let present: Vec<&str> = text.split_whitespace().collect();
    if let Some(absent) = CONTROLLERS.into_iter().find(|name| !present.contains(name)) {
        bail!("cgroup v2 without the controller {absent}");
    }
    let controllers = CONTROLLERS.map(|name| format!("+{name}")).join(" ");
    fs::write(root.join("cgroup.subtree_control"), controllers).context("hand down the controllers of cgroup v2")?;
    Ok(("unified".to_owned(), root.to_path_buf()))
}

/// Of cgroup v1: this process's directory in each hierarchy.
fn hierarchies() -> Result<Vec<(String, PathBuf)>> {
    let own = fs::read_to_string("/proc/self/cgroup").context("read the cgroups of this process")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    let mut found = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        if controllers.is_empty() {
            continue;
        }
        let Some(mount) = mount_of(controllers, path, &mounts) else { bail!("cgroup {controllers} is not mounted") };
        found.push((controllers.to_owned(), mount));
    }
    for needed in ["cpu", "cpuacct", "cpuset", "memory", "devices", "pids", "name=systemd"] {
        if !found.iter().any(|(controllers, _)| controllers.split(',').any(|name| name == needed)) {
            bail!("cgroup {needed} is not mounted");
        }
    }
    Ok(found)
}

/// Where the directory `path` of a hierarchy is seen. In a container without a cgroup namespace, only a part is mounted.
fn mount_of(controllers: &str, path: &str, mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        if kind.next() != Some("cgroup") {
            return None;
        }
        let options: Vec<&str> = kind.nth(1)?.split(',').collect();
        if !controllers.split(',').all(|name| options.contains(&name)) {
            return None;
        }
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        let below = path.strip_prefix(root.trim_end_matches('/'))?;
        Some(Path::new(point).join(below.trim_start_matches('/')))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_process_is_found_also_in_a_part_of_the_hierarchy() {
        let mounts = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
            35 31 0:32 /docker/a /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
            40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        for (controllers, path, expected) in [
            ("cpu,cpuacct", "/", Some("/sys/fs/cgroup/cpu,cpuacct")),
            ("cpuacct,cpu", "/a/b", Some("/sys/fs/cgroup/cpu,cpuacct/a/b")),
            ("memory", "/docker/a/b", Some("/sys/fs/cgroup/memory/b")),
            ("memory", "/docker/a", Some("/sys/fs/cgroup/memory")),
            ("memory", "/elsewhere", None),
            ("name=systemd", "/user", Some("/sys/fs/cgroup/systemd/user")),
            ("pids", "/", None),
        ] {
            let found = mount_of(controllers, path, mounts);
            let expected = expected.map(PathBuf::from);
            // A joined empty path has a slash at its end, which is the same place.
            assert_eq!(found.map(|path| path.components().collect::<PathBuf>()), expected, "{controllers} {path}");
        }
    }
}
