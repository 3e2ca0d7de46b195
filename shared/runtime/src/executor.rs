//! The threads that a program of ours runs on.

use anyhow::Context as _;
use tokio::runtime::Builder;

/// Worker threads: a webhook waits most of the time, and each thread costs memory.
const MOST_WORKERS: usize = 4;
/// With one worker, a slow decision could hold up the timer that limits it.
const FEWEST_WORKERS: usize = 2;
/// Threads for blocking work; what exceeds them queues.
const BLOCKING: usize = 8;

/// How many threads take part in what does not block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One. A program that waits for servers most of the time spends more CPU time on waking up its threads than on its
    /// work; beside them only blocking work has threads.
    One,
    /// One a core, within bounds.
    Several,
}

/// Runs a program to its end.
///
/// # Errors
/// Threads cannot be started; the program's own.
pub fn block_on(threads: Threads, program: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = builder(threads)
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .context("cannot start the threads of the program")?;
    let result = runtime.block_on(program);
    // Blocking work that is still going on must not hold up the end of the process.
    runtime.shutdown_background();
    result
}

fn builder(threads: Threads) -> Builder {
    match threads {
        Threads::One => Builder::new_current_thread(),
        Threads::Several => {
            let cores = std::thread::available_parallelism().map_or(FEWEST_WORKERS, usize::from);
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(cores.clamp(FEWEST_WORKERS, MOST_WORKERS));
            builder
        }
    }
}
