//! The figures of the suite: a line each, written by the tests and printed at the end.
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// Adds a row.
pub(super) fn row(report: &Path, what: &str, took: Duration) {
    if let Ok(mut file) = File::options().create(true).append(true).open(report) {
        let _ = writeln!(file, "{what}\t{:.1} s", took.as_secs_f64());
    }
}

/// Prints all rows.
pub(super) fn print(report: &Path) {
    let text = fs::read_to_string(report).unwrap_or_default();
    println!("\n== figures of the node");
    for line in text.lines() {
        let (what, figure) = line.split_once('\t').unwrap_or((line, ""));
        println!("{figure:>16}  {what}");
    }
}
