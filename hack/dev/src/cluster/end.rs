//! When the supervisor ends.
use std::io::Read;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::supervisor::STAY;

/// Completes when this process should end: at the first SIGTERM or SIGINT from now on, or when the tether breaks.
pub(crate) fn end_requested() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let tether = tether();
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = tether => {}
        }
    })
}

/// Completes when standard input ends without the word that lets us stay: whoever started us is gone, or tells us to go.
fn tether() -> impl Future<Output = ()> {
    let (broken, break_of_tether) = oneshot::channel();
    // A thread of its own: tokio would wait at the end for one of its threads that reads.
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = std::io::stdin().read_to_string(&mut text);
        if text.trim() != STAY {
            let _ = broken.send(());
        }
    });
    async move {
        if break_of_tether.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
