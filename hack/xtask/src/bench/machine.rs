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
    if let Ok(load) = fs::read_to_string("/proc/loadavg") {
        let averages: Vec<&str> = load.split(' ').take(3).collect();
        parts.push(format!("load average at the start {}", averages.join(" ")));
    }
    parts.join(", ")
}
