//! What was measured: rows of a report that `cargo xtask node test` prints.
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use super::directory;

/// Writes down a time and holds it against five times what is promised: a bound that says that something is wrong, not that the
/// machine is busy.
pub fn figure(what: &str, took: Duration, promised: Duration) {
    row(what, &format!("{:.1} s ({} s)", took.as_secs_f64(), promised.as_secs_f64()));
    assert!(took <= promised * 5, "{what}: {took:?}, where {promised:?} is promised");
}

/// Writes down what was found.
pub fn row(what: &str, found: &str) {
    eprintln!("{what}: {found}");
    let report = directory().unwrap().join("report");
    let mut file = File::options().create(true).append(true).open(report).unwrap();
    writeln!(file, "{what}\t{found}").unwrap();
}
