//! The processes that the player runs for Pods, seen from outside.
use std::fs;

use holdfast_e2e::process;

/// The processes of a program that the supervisor started, by pid.
pub(super) fn processes(supervisor: u32, program: &str) -> Vec<u32> {
    let mut found: Vec<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| executes(*pid, program) && descends_from(*pid, supervisor))
        .collect();
    found.sort_unstable();
    found
}

/// The resident memory of each process of a program, such as `12.3 MiB and 12.1 MiB`.
pub(super) fn resident(supervisor: u32, program: &str) -> String {
    let sizes: Vec<String> = processes(supervisor, program)
        .into_iter()
        .filter_map(|pid| process::resident_bytes(pid).ok())
        // Tenths of a MiB, without the detour over floating point.
        .map(|bytes| bytes * 10 / (1 << 20))
        .map(|tenths| format!("{}.{} MiB", tenths / 10, tenths % 10))
        .collect();
    if sizes.is_empty() { "no process".to_owned() } else { sizes.join(" and ") }
}

/// On a node, the programs of pods are children of children.
fn descends_from(pid: u32, ancestor: u32) -> bool {
    // As deep as it gets in a pod, and more.
    std::iter::successors(parent(pid), |pid| parent(*pid)).take(16).any(|pid| pid == ancestor)
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn executes(pid: u32, program: &str) -> bool {
    // A program that was built again while it runs has " (deleted)" behind its name.
    let executable = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let name = executable.as_ref().and_then(|path| path.file_name()?.to_str());
    name.is_some_and(|name| name.trim_end_matches(" (deleted)") == program)
}
