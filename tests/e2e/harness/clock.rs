//! Wall clocks of single processes that jump.
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes what is preloaded (`LD_PRELOAD`), with the C compiler that links every Rust program: the clock of the process is off by
/// as many seconds as the file named in `HOLDFAST_CLOCK` says.
pub fn clock_library(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/data/clock.c");
    let library = directory.join("clock.so");
    let output = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).output();
    let output = output.expect("run the C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}
