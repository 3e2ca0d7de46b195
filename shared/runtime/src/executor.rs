//! The threads that a program of ours runs on.

use anyhow::Context as _;

/// Worker threads: a webhook or a controller waits most of the time, and each thread costs memory.
const MOST_WORKERS: usize = 4;
/// With one worker, a slow decision could hold up the timer that limits it.
const FEWEST_WORKERS: usize = 2;
/// Threads for blocking work; what exceeds them queues.
const BLOCKING: usize = 8;

/// Runs a program to its end.
///
/// # Errors
/// Threads cannot be started; the program's own.
pub fn block_on(program: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(FEWEST_WORKERS, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(FEWEST_WORKERS, MOST_WORKERS))
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .context("cannot start the threads of the program")?;
    let result = runtime.block_on(program);
    // Blocking work that is still going on must not hold up the end of the process.
    runtime.shutdown_background();
    result
}
