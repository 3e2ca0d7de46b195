//! On what it was measured.
use std::fs;

/// Cores, CPU and load, in one line. What cannot be told is left out.
pub(super) fn describe() -> String {
    let mut parts = Vec::new();
    if let Ok(cores) = std::thread::available_parallelism() {
        parts.push(format!("{cores} cores"));
    }
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if let Some(model) = cpus.lines().find_map(|line| line.strip_prefix("model name")) {
        parts.push(model.trim_start_matches(['\t', ' ', ':']).to_owned());
    }
    parts.push(format!("load average at the start {}", load()));
    parts.join(", ")
}

/// The load averages of one, five and fifteen minutes.
pub(super) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
