//! What the first process of a pid namespace owes the others: to wait for those whose parents are gone.
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions};

const LOOK: Duration = Duration::from_secs(1);

/// Reaps children that were inherited, for ever. Whoever starts a child itself waits for it at once, so what has been dead at
/// two looks in a row is nobody's.
pub(super) fn reap() {
    let mut before = BTreeSet::new();
    loop {
        std::thread::sleep(LOOK);
        let dead = dead();
        for pid in dead.intersection(&before) {
            if let Some(pid) = Pid::from_raw(*pid) {
                let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
        before = dead;
    }
}

fn dead() -> BTreeSet<i32> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name in parentheses may contain anything.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            (fields.next() == Some("Z") && fields.next() == Some(&own)).then_some(pid)
        })
        .collect()
}
