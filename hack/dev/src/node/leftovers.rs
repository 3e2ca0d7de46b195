//! What a node may not leave on the machine, looked at before and after.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use crate::cluster::Place;

/// What changes by itself, or with each process on the machine.
const LIVELY: [&str; 12] = [
    "fs/dentry-state",
    "fs/file-nr",
    "fs/inode-nr",
    "fs/inode-state",
    "fs/quota",
    "fs/aio-nr",
    "kernel/ns_last_pid",
    "kernel/pty/nr",
    "kernel/random",
    "kernel/perf_event_max_sample_rate",
    "net/netfilter/nf_conntrack_count",
    "vm/stat_refresh",
];
/// How long the kernel and the sweeper may take after the end of a node's supervisor.
const GONE: Duration = Duration::from_secs(10);
const START: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// The machine as it is: sysctls, interfaces, packet filters, mounts and cgroups of nodes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Machine(BTreeMap<String, String>);

impl Machine {
    /// Looks.
    pub(super) fn now() -> Self {
        let mut found = BTreeMap::new();
        sysctls(Path::new("/proc/sys"), &mut found);
        for (name, program, arguments) in [
            ("interfaces", "ip", &["-brief", "link"][..]),
            ("addresses", "ip", &["-brief", "address"][..]),
            ("packet filter", "nft", &["--stateless", "list", "ruleset"][..]),
        ] {
            let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
            let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            found.insert(name.to_owned(), text);
        }
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        found.insert("mounts".to_owned(), mounts);
        found.insert("cgroups".to_owned(), cgroups(Path::new("/sys/fs/cgroup"), 4).join(" "));
        Self(found)
    }

    /// In what it differs from what it was before; nothing if it is the same.
    pub(super) fn differences(&self, before: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        let differs = |key: &&&String| self.0.get(**key) != before.0.get(**key);
        let shown = |found: Option<&String>| found.map_or("absent", |text| text.trim()).to_owned();
        keys.iter()
            .filter(differs)
            .map(|key| format!("{key}: {} was {}", shown(self.0.get(*key)), shown(before.0.get(*key))))
            .collect()
    }
}

/// Starts a node's supervisor and ends it in the middle by each of these signals.
///
/// # Errors
/// The machine is not as it was: in what.
pub(super) fn check(place: &Place) -> Result<Vec<(&'static str, Duration)>> {
    let mut took = Vec::new();
    for (name, signal) in [("Ctrl-C", Signal::INT), ("kill -9", Signal::KILL)] {
        let before = Machine::now();
        let mut command = Command::new(std::env::current_exe().context("find the running executable")?);
        command.args(["node", "serve"]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().context("start a node")?;
        let busy = place.path().join("logs/kubelet.log");
        let _ = fs::remove_file(&busy);
        let start = Instant::now();
        // With mounts, interfaces and processes, but before it is ready.
        while !busy.exists() {
            if start.elapsed() > START || child.try_wait().context("wait for a node")?.is_some() {
                let _ = child.kill();
                bail!("the node that was to be ended by {name} did not start");
            }
            std::thread::sleep(LOOK);
        }
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the node has no pid")?;
        let sent = Instant::now();
        rustix::process::kill_process_group(group, signal).context("end a node")?;
        let _ = child.wait();
        loop {
            let differences = Machine::now().differences(&before);
            if differences.is_empty() {
                break;
            }
            if sent.elapsed() > GONE {
                bail!("a node that ended by {name} leaves traces: {}", differences.join("; "));
            }
            std::thread::sleep(LOOK);
        }
        took.push((name, sent.elapsed()));
    }
    Ok(took)
}

fn sysctls(directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.strip_prefix("/proc/sys").unwrap_or(&path).display().to_string();
        if LIVELY.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            sysctls(&path, found);
        } else if let Ok(value) = fs::read_to_string(&path) {
            found.insert(name, value);
        }
    }
}

/// The cgroups of nodes, as deep as they can be.
fn cgroups(directory: &Path, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() || !path.is_dir() {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with("holdfast-node-") {
            found.push(path.display().to_string());
        } else if depth > 0 {
            found.extend(cgroups(&path, depth - 1));
        }
    }
    found.sort();
    found
}
