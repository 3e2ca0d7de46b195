//! Waits for the lease, holds it, releases it. What to do is decided in [`super::decision`]; here it is done.

use std::time::Duration;

use holdfast_runtime::call::CallError;
use holdfast_runtime::reminder::Reminder;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::decision::{Decision, Loss, Observed, Term, decide};
use super::leadership::Publisher;
use super::record::Record;
use super::settings::Settings;
use super::store::LeaseStore;

/// For the requests in flight to end and the release to be written, all in all; shorter than the supervisor's patience.
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

/// One candidate, later leader.
#[derive(Debug)]
pub struct Driver<S> {
    store: S,
    identity: String,
    settings: Settings,
    publisher: Publisher,
    /// The Lease as last answered, to be replaced; `None` if there was none.
    lease: Option<Lease>,
    seen: Option<Observed>,
    term: Option<Term>,
    /// `lease` is the newest that we know of; false from before a write until its success.
    is_current: bool,
    /// A write that names us as the holder was sent: the Lease may be ours even if we never heard of it.
    may_hold: bool,
    waits_for: Option<String>,
    trouble: Reminder,
    last_error: Option<String>,
}

impl<S: LeaseStore> Driver<S> {
    pub fn new(store: S, identity: String, settings: Settings, publisher: Publisher) -> Self {
        Self {
            store,
            identity,
            settings,
            publisher,
            lease: None,
            seen: None,
            term: None,
            is_current: false,
            may_hold: false,
            waits_for: None,
            trouble: Reminder::default(),
            last_error: None,
        }
    }

    /// Runs until shutdown, which is `Ok`, or until leadership is lost.
    pub async fn run(mut self, token: CancellationToken) -> Result<(), LostError> {
        loop {
            let deadline = self.term.map(|term| self.settings.give_up(term.renewed));
            let lost = tokio::select! {
                biased;
                () = token.cancelled() => {
                    self.resign().await;
                    return Ok(());
                }
                // Whatever a round waits for.
                () = reached(deadline) => self.round_after_deadline(),
                result = self.round() => result,
            };
            if let Err(lost) = lost {
                // Not released: requests that were permitted may still be under way.
                self.publisher.end();
                tracing::error!("{lost}");
                return Err(lost);
            }
        }
    }

    fn round_after_deadline(&self) -> Result<(), LostError> {
        Err(self.lost(Loss::Expired))
    }

    /// One step, and the pause after it. May be dropped at any point.
    async fn round(&mut self) -> Result<(), LostError> {
        let next = match self.step().await {
            Ok(Next::At(instant)) => {
                if self.trouble.clear() {
                    tracing::info!(lease = self.store.describe(), "the Lease can be read and written again");
                }
                instant
            }
            Ok(Next::Lost(loss)) => return Err(self.lost(loss)),
            // Lost a race; look who won, but not in a tight loop.
            Err(error) if error.is_conflict() => Instant::now() + self.settings.retry_period / 20,
            Err(error) => {
                self.trouble.warn(&format!("leader election: {error}; trying again"));
                self.last_error = Some(error.to_string());
                Instant::now() + self.settings.retry_period
            }
        };
        sleep_until(next).await;
        Ok(())
    }

    async fn step(&mut self) -> Result<Next, CallError> {
        if self.term.is_none() || !self.is_current {
            self.look().await?;
        }
        let now = Instant::now();
        match decide(self.seen.as_ref(), self.term.as_ref(), &self.identity, &self.settings, now) {
            Decision::Create => self.write(None).await,
            Decision::Take | Decision::Renew => self.write(self.lease.clone()).await,
            Decision::Wait(until) => {
                self.say_who_leads();
                Ok(Next::At(until.min(now + self.settings.retry_period)))
            }
            Decision::Lost(loss) => Ok(Next::Lost(loss)),
        }
    }

    async fn look(&mut self) -> Result<(), CallError> {
        let lease = self.store.get(self.settings.call_limit()).await?;
        self.accept(lease);
        Ok(())
    }

    /// Writes our name into the Lease: into `base` as it was answered, or into a new one.
    async fn write(&mut self, base: Option<Lease>) -> Result<Next, CallError> {
        (self.is_current, self.may_hold) = (false, true);
        let limit = self.settings.call_limit();
        // The lease counts from here: nobody can see the new record before.
        let sent = Instant::now();
        let record = self.own_record(Timestamp::now());
        let stored = match base {
            Some(mut lease) => {
                record.write_to(&mut lease);
                self.store.replace(&lease, limit).await?
            }
            None => {
                let mut lease = Lease::default();
                record.write_to(&mut lease);
                self.store.create(&lease, limit).await?
            }
        };
        self.accept(Some(stored));
        let is_new = self.term.is_none();
        self.term = Some(Term { acquired: record.acquired, transitions: record.transitions, renewed: sent });
        self.publisher.lead(self.settings.give_up(sent), self.settings.requests_end(sent));
        if is_new {
            tracing::info!(lease = self.store.describe(), identity = self.identity, "became leader");
        }
        Ok(Next::At(sent + self.settings.retry_period))
    }

    fn own_record(&self, now: Timestamp) -> Record {
        let last = self.seen.as_ref().map(|seen| &seen.record);
        let now = last.map_or_else(|| Record::default().stamp(now), |last| last.stamp(now));
        let (acquired, transitions) = match &self.term {
            Some(term) => (term.acquired, term.transitions),
            None => (Some(now), last.map_or(0, |last| last.transitions.saturating_add(1))),
        };
        let duration = Some(self.settings.lease_duration);
        Record { holder: self.identity.clone(), duration, acquired, renewed: Some(now), transitions }
    }

    /// Takes an answer for what the Lease is now.
    fn accept(&mut self, lease: Option<Lease>) {
        let now = Instant::now();
        let last = self.seen.take();
        self.seen = lease.as_ref().map(|lease| Observed::next(last, Record::of(lease), now));
        self.lease = lease;
        self.is_current = true;
    }

    fn holder(&self) -> &str {
        self.seen.as_ref().map_or("", |seen| seen.record.holder.as_str())
    }

    fn say_who_leads(&mut self) {
        if self.term.is_none() && self.waits_for.as_deref() != Some(self.holder()) {
            let holder = self.holder().to_owned();
            tracing::info!(lease = self.store.describe(), holder, "waiting: another replica leads");
            self.waits_for = Some(holder);
        }
    }

    fn lost(&self, loss: Loss) -> LostError {
        let lease = self.store.describe();
        match loss {
            Loss::Taken => LostError::Taken { lease, holder: self.holder().to_owned() },
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
        if !self.may_hold {
            return;
        }
        let lease = self.store.describe();
        match timeout(RELEASE_LIMIT, self.release()).await {
            Ok(Ok(true)) => tracing::info!(lease, "released the Lease"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(lease, %error, "could not release the Lease; others wait until it expires"),
            Err(_) => tracing::warn!(lease, "did not release the Lease in time; others wait until it expires"),
        }
    }

    /// Whether there was anything to release.
    async fn release(&mut self) -> Result<bool, CallError> {
        self.publisher.drained().await;
        loop {
            if !self.is_current {
                self.look().await?;
            }
            let (Some(seen), Some(mut lease)) = (&self.seen, self.lease.clone()) else { return Ok(false) };
            if seen.record.holder != self.identity {
                return Ok(false);
            }
            seen.record.released(Timestamp::now()).write_to(&mut lease);
            match self.store.replace(&lease, self.settings.call_limit()).await {
                Ok(_) => return Ok(true),
                // A renewal that we had stopped to wait for came through after all.
                Err(error) if error.is_conflict() => self.is_current = false,
                Err(error) => return Err(error),
            }
        }
    }
}

/// What comes after a step.
enum Next {
    At(Instant),
    Lost(Loss),
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
