//! The course of an election in time: waits for the lease, holds it, releases it, and says so.

use std::time::Duration;

use holdfast_runtime::call::CallError;
use holdfast_runtime::owner::Owner;
use holdfast_runtime::reminder::Reminder;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::candidate::{Candidate, Step};
use super::decision::Loss;
use super::leadership::Publisher;
use super::settings::Settings;
use super::store::LeaseStore;

/// For the requests under way to end and for the release, all in all; shorter than the supervisor's patience.
const RELEASE_LIMIT: Duration = Duration::from_secs(4);

/// Leadership ended for another reason than shutdown.
#[derive(Debug, thiserror::Error)]
pub enum LostError {
    /// No renewal succeeded in time.
    #[error("lost leadership: Lease {lease} could not be renewed for {}s: {why}", deadline.as_secs_f32())]
    Expired {
        /// Its namespace and name.
        lease: String,
        /// The renew deadline.
        deadline: Duration,
        /// What the last try came to.
        why: String,
    },
    /// Somebody else wrote the Lease.
    #[error("lost leadership: Lease {lease} was taken by {holder:?}")]
    Taken {
        /// Its namespace and name.
        lease: String,
        /// Who holds it now; empty if it was released in our place.
        holder: String,
    },
}

/// Runs one candidate.
#[derive(Debug)]
pub struct Driver<S> {
    candidate: Candidate<S>,
    settings: Settings,
    publisher: Publisher,
    /// The holder of whom the log has told last.
    waits_for: Option<String>,
    trouble: Reminder,
    last_error: Option<String>,
}

impl<S: LeaseStore> Driver<S> {
    pub fn new(store: S, identity: String, settings: Settings, publisher: Publisher) -> Self {
        let candidate = Candidate::new(store, identity, settings);
        Self { candidate, settings, publisher, waits_for: None, trouble: Reminder::default(), last_error: None }
    }

    /// Lets a Lease that we make go when this owner goes.
    pub fn set_owner(&mut self, owner: Option<Owner>) {
        self.candidate.set_owner(owner);
    }

    /// Runs until shutdown, which is `Ok`, or until leadership is lost.
    pub async fn run(mut self, token: CancellationToken) -> Result<(), LostError> {
        let mut next = Instant::now();
        loop {
            // Anew after each round, which may have moved it.
            let deadline = self.candidate.term().map(|term| self.settings.give_up(term.renewed));
            let result = tokio::select! {
                biased;
                () = token.cancelled() => {
                    self.resign().await;
                    return Ok(());
                }
                // Whatever the round waits for.
                () = reached(deadline) => Err(self.lost(Loss::Expired)),
                result = self.round(next) => result,
            };
            match result {
                Ok(instant) => next = instant,
                Err(lost) => {
                    // Not released: requests that were sent may still be under way.
                    self.publisher.cut();
                    tracing::error!("{lost}");
                    return Err(lost);
                }
            }
        }
    }

    /// One step at its time; returns the time of the next. May be dropped at any await.
    async fn round(&mut self, time: Instant) -> Result<Instant, LostError> {
        sleep_until(time).await;
        let began = Instant::now();
        let had_term = self.candidate.term().is_some();
        match self.candidate.step().await {
            Ok(Step::Lost(loss)) => Err(self.lost(loss)),
            Ok(Step::Leads(since)) => {
                self.publisher.lead(self.settings.give_up(since), self.settings.requests_end(since));
                if !had_term {
                    let (lease, identity) = (self.candidate.lease_name(), self.candidate.identity());
                    tracing::info!(lease, identity, "became leader");
                }
                self.is_well();
                Ok(since + self.settings.retry_period)
            }
            Ok(Step::Waits(until)) => {
                if !had_term {
                    self.say_who_leads();
                }
                self.is_well();
                Ok(until.min(began + self.settings.retry_period))
            }
            Err(error) => Ok(self.pause_after(&error, began)),
        }
    }

    /// When to try again after a step that began at `began`.
    fn pause_after(&mut self, error: &CallError, began: Instant) -> Instant {
        self.last_error = Some(error.to_string());
        // Never in a tight loop.
        let soon = Instant::now() + self.settings.retry_period / 20;
        if error.is_conflict() {
            // Somebody was faster; look who.
            return soon;
        }
        self.trouble.warn(&format!("leader election: {error}; trying again"));
        soon.max(began + self.settings.retry_period)
    }

    fn is_well(&mut self) {
        self.last_error = None;
        if self.trouble.clear() {
            tracing::info!(lease = self.candidate.lease_name(), "the Lease can be read and written again");
        }
    }

    fn say_who_leads(&mut self) {
        let holder = self.candidate.holder();
        if self.waits_for.as_deref() != Some(holder) {
            tracing::info!(lease = self.candidate.lease_name(), holder, "waiting: another replica leads");
            self.waits_for = Some(holder.to_owned());
        }
    }

    fn lost(&self, loss: Loss) -> LostError {
        let lease = self.candidate.lease_name();
        match loss {
            Loss::Taken => LostError::Taken { lease, holder: self.candidate.holder().to_owned() },
            Loss::Expired => LostError::Expired {
                lease,
                deadline: self.settings.renew_deadline,
                why: self.last_error.clone().unwrap_or_else(|| "no answer".to_owned()),
            },
        }
    }

    /// Ends the leadership in an orderly way: no more permits, wait for the requests under way, then release.
    async fn resign(&mut self) {
        self.publisher.end();
        let lease = self.candidate.lease_name();
        let release = async {
            self.publisher.drained().await;
            self.candidate.release().await
        };
        match timeout(RELEASE_LIMIT, release).await {
            Ok(Ok(true)) => tracing::info!(lease, "released the Lease"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::warn!(lease, %error, "could not release the Lease; others wait until it expires");
            }
            Err(_) => tracing::warn!(lease, "did not release the Lease in time; others wait until it expires"),
        }
    }
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
