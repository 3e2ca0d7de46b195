//! Tasks that live as long as the process.
//!
//! Guarantee: as soon as one of them ends, whatever the reason, the process ends too. A program of ours never goes on
//! with a part of itself missing.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long tasks get to end after they were told to. All in all, the process ends within five seconds.
const GRACE: Duration = Duration::from_millis(4500);

/// Starts tasks and waits for the end.
#[derive(Debug)]
pub struct Supervisor {
    terminate: Signal,
    interrupt: Signal,
    draining: CancellationToken,
    shutdown_delay: Duration,
    token: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    names: BTreeMap<Id, &'static str>,
}

impl Supervisor {
    /// Without tasks. From now on, SIGTERM and SIGINT end the process in an orderly way: by [`Supervisor::start`] and
    /// [`Supervisor::run`], one of which has to be going on.
    ///
    /// # Errors
    /// The signals cannot be listened to.
    pub fn new() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot install a handler for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot install a handler for SIGINT")?;
        let (draining, token) = (CancellationToken::new(), CancellationToken::new());
        let (shutdown_delay, tasks, names) = (Duration::ZERO, JoinSet::new(), BTreeMap::new());
        Ok(Self { terminate, interrupt, draining, shutdown_delay, token, tasks, names })
    }

    /// Lets everything go on for so long after SIGTERM or SIGINT, until those who call us know that we leave. A second
    /// signal ends that.
    pub fn shutdown_delay(&mut self, time: Duration) {
        self.shutdown_delay = time;
    }

    /// Cancelled as soon as it is certain that the process will end: by [`Supervisor::shutdown_delay`] before [`Supervisor::token`].
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Cancelled when the process is to end. Cancelling it asks for an orderly shutdown.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a task. It may end without an error only after the token was cancelled.
    pub fn spawn<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Does what has to be done before all tasks can start, as long as nothing ends the process meanwhile: then it is
    /// dropped, tasks that were started get [`GRACE`] to end, and the result is `None`.
    ///
    /// # Errors
    /// Its own; a task has ended.
    pub async fn start<T>(&mut self, startup: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<Option<T>> {
        let ended = tokio::select! {
            ended = self.ended() => ended,
            result = startup => return result.map(Some),
        };
        self.end().await;
        ended.map(|()| None)
    }

    /// Runs until SIGTERM, SIGINT or a cancelled token, which is `Ok`, or until a task fails, panics or ends early.
    ///
    /// In each case the token is cancelled and the tasks get [`GRACE`] to end; after a signal not before [`Supervisor::shutdown_delay`]
    /// is over.
    ///
    /// # Errors
    /// Names the task that ended first.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let result = match self.ended().await {
            Ok(()) if !self.token.is_cancelled() => self.drain_after_signal().await,
            result => result,
        };
        self.end().await;
        result
    }

    async fn drain_after_signal(&mut self) -> anyhow::Result<()> {
        self.draining.cancel();
        let shutdown_delay = tokio::time::sleep(self.shutdown_delay);
        tokio::select! {
            ended = self.ended() => ended,
            () = shutdown_delay => Ok(()),
        }
    }

    async fn end(&mut self) {
        self.draining.cancel();
        self.token.cancel();
        self.drain().await;
    }

    async fn ended(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => { tracing::info!("SIGTERM: shutting down"); Ok(()) }
            _ = self.interrupt.recv() => { tracing::info!("SIGINT: shutting down"); Ok(()) }
            () = self.token.cancelled() => Ok(()),
            Some(ended) = self.tasks.join_next_with_id() => self.first_end(ended),
        }
    }

    fn first_end(&mut self, ended: Result<(Id, anyhow::Result<()>), JoinError>) -> anyhow::Result<()> {
        let (name, outcome) = self.outcome(ended);
        match outcome {
            // A task that saw the cancelled token before we did.
            Ok(()) if self.token.is_cancelled() => Ok(()),
            Ok(()) => Err(anyhow!("{name} ended although it should not")),
            Err(error) => Err(error.context(name)),
        }
    }

    fn outcome(&mut self, ended: Result<(Id, anyhow::Result<()>), JoinError>) -> (&'static str, anyhow::Result<()>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) if error.is_panic() => (error.id(), Err(anyhow!("panicked"))),
            Err(error) => (error.id(), Err(anyhow!("was aborted"))),
        };
        (self.names.remove(&id).unwrap_or("a task"), result)
    }

    async fn drain(&mut self) {
        let deadline = Instant::now() + GRACE;
        loop {
            match tokio::time::timeout_at(deadline, self.tasks.join_next_with_id()).await {
                Ok(None) => return,
                Ok(Some(ended)) => {
                    if let (name, Err(error)) = self.outcome(ended) {
                        tracing::warn!(task = name, error = format!("{error:#}"), "failed while shutting down");
                    }
                }
                Err(_) => {
                    let unfinished: Vec<_> = self.names.values().collect();
                    tracing::warn!(tasks = ?unfinished, "tasks did not stop in time and were aborted");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ends_with(start: impl FnOnce(&mut Supervisor)) -> String {
        let mut supervisor = Supervisor::new().unwrap();
        let token = supervisor.token();
        supervisor.spawn("patient", async move {
            token.cancelled().await;
            Ok(())
        });
        start(&mut supervisor);
        supervisor.run().await.map_or_else(|error| format!("{error:#}"), |()| "ok".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_end_is_reported() {
        assert_eq!(ends_with(|s| s.spawn("watch", async { Err(anyhow!("broken")) })).await, "watch: broken");
        assert_eq!(ends_with(|s| s.spawn("watch", async { panic!("ouch") })).await, "watch: panicked");
        assert_eq!(ends_with(|s| s.spawn("watch", async { Ok(()) })).await, "watch ended although it should not");
        assert_eq!(ends_with(|s| s.token().cancel()).await, "ok");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_task_does_not_hold_up_the_end() {
        let begin = Instant::now();
        let outcome = ends_with(|s| {
            s.spawn("stuck", std::future::pending());
            s.token().cancel();
        });
        assert_eq!(outcome.await, "ok");
        assert_eq!(begin.elapsed().as_millis(), GRACE.as_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn what_lingers_goes_on_after_a_signal_and_not_after_a_failure() {
        // A signal to the whole process would end the other tests' supervisors, too, which also wait for one.
        let shutdown_delay = Duration::from_secs(7);
        let begin = Instant::now();
        let outcome = ends_with(|s| {
            s.shutdown_delay(shutdown_delay);
            s.spawn("watch", async { Err(anyhow!("broken")) });
        });
        assert_eq!(outcome.await, "watch: broken");
        assert_eq!(begin.elapsed(), Duration::ZERO);

        let begin = Instant::now();
        let mut supervisor = Supervisor::new().unwrap();
        supervisor.shutdown_delay(shutdown_delay);
        let (draining, token) = (supervisor.draining(), supervisor.token());
        supervisor.spawn("patient", async move {
            draining.cancelled().await;
            assert!(!token.is_cancelled(), "it goes on");
            token.cancelled().await;
            Ok(())
        });
        supervisor.drain_after_signal().await.unwrap();
        supervisor.end().await;
        assert_eq!(begin.elapsed(), shutdown_delay);
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_goes_on_until_the_end_of_the_process() {
        let mut supervisor = Supervisor::new().unwrap();
        assert_eq!(supervisor.start(async { Ok(7) }).await.unwrap(), Some(7));
        assert!(supervisor.start::<()>(async { Err(anyhow!("broken")) }).await.is_err());
        let token = supervisor.token();
        supervisor.spawn("patient", async move {
            token.cancelled().await;
            Ok(())
        });
        supervisor.token().cancel();
        assert_eq!(supervisor.start::<()>(std::future::pending()).await.unwrap(), None);
        let mut supervisor = Supervisor::new().unwrap();
        supervisor.spawn("watch", async { Err(anyhow!("broken")) });
        let error = supervisor.start::<()>(std::future::pending()).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "watch: broken");
    }
}
