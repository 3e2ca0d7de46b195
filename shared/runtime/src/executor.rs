//! The threads that a program of ours runs on.

use anyhow::Context as _;
use tokio::runtime::Builder;

/// Threads for blocking work; what exceeds them queues.
const BLOCKING: usize = 8;

/// Runs a program to its end, on one thread, with others beside it for what blocks or computes for long.
///
/// A program that waits most of the time spends more CPU time on waking up its threads than on its work.
///
/// # Errors
/// Threads cannot be started; the program's own.
pub fn block_on(program: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread()
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .context("cannot start the threads of the program")?;
    let result = runtime.block_on(program);
    // Blocking work that is still going on must not hold up the end of the process.
    runtime.shutdown_background();
    result
}
