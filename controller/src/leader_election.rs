//! Leader election on a Lease: of all replicas that use the same Lease, one writes.
//!
//! The Lease is written as client-go writes it, so that replicas of the Go original take part: while one of them leads, we
//! wait, and the other way round.
//!
//! # Guarantees
//! * The Lease is only ever written by compare-and-swap: a write succeeds if nobody has written since we read.
//! * No two clocks are compared. A foreign lease has expired when *we* have watched it unchanged for as long as it lasts;
//!   ours counts from before the request that renewed it was sent.
//! * [`Leadership::permit`] judges by the time at which it is asked. A replica that was stopped, starved or cut off past the
//!   renew deadline gets no permit, even if none of its tasks has run or none of its calls has returned by then.
//! * A permitted request ends before the lease does, by half of what lies between `--renew-deadline` and `--lease-duration`.
//!   That margin is for clocks that run at different speeds and for a request that the server still works on after we
//!   have dropped it.
//! * A permit is not all that a request needs: the connections that write ask [`Leadership::may_send`] each time before they
//!   hand bytes to the kernel. What waited in the client while the process was stopped is not sent when it goes on.
//! * At shutdown no permit is given any more, the permitted requests are waited for, and only then is the Lease released.
//!
//! # Caveats
//! * Time is measured by `CLOCK_MONOTONIC`. It goes on while a process is stopped (SIGSTOP, a frozen cgroup), and stands
//!   still while the whole machine sleeps. No clock of its own tells a virtual machine that it was paused.
//! * A process stopped between the last look at the clock and the system call that sends the request sends it when it goes
//!   on. Nothing on our side can exclude that; the window is the few instructions between the two.
//! * What the kernel has taken over is out of our hands. It repeats what the network loses until we close the connection,
//!   which throws the rest away, and a stopped process closes nothing.
//! * Not guarded are watches, the Lease, and at the start the Secret with the key of the digests, which any replica may
//!   create.
//! * Whoever deletes the Lease or edits its holder away breaks the exclusion until the leader's next renewal.

mod candidate;
#[cfg(test)]
mod fake;
mod leadership;
mod lease;
mod settings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use holdfast_runtime::{call::CallError, owner::Owner, reminder::Reminder};
use kube::Client;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use candidate::{Candidate, Loss, Step};
use leadership::{Publisher, standing};
use lease::{ClusterLease, LeaseStore};
use settings::Settings;

pub use leadership::Leadership;
pub use settings::{ElectionArgs, SetupError};

/// This replica's part in the election. Does nothing until [`Election::run`].
#[derive(Debug)]
pub struct Election(Option<Driver<ClusterLease>>);

impl Election {
    /// Takes part as `args` say; with `--leader-elect=false` everything is permitted from the beginning, for ever. `client`
    /// is of the cluster where the ManagedResources live. Sends nothing yet.
    ///
    /// # Errors
    /// The settings contradict each other, or there is no telling where the Lease lies.
    pub fn new(args: &ElectionArgs, client: Client) -> Result<(Self, Leadership), SetupError> {
        if !args.leader_elect {
            return Ok((Self(None), Leadership::always()));
        }
        let settings = args.settings()?;
        let store = ClusterLease::new(client, args.namespace()?, &args.lease_name);
        let (publisher, leadership) = standing();
        Ok((Self(Some(Driver::new(store, args.identity(), settings, publisher))), leadership))
    }

    /// Lets a Lease that we make be owned, so that it goes when its owner does. One that is another program's has no owner of
    /// ours: neither if that has made it nor while that holds it.
    #[must_use]
    pub fn owned_by(mut self, owner: Option<Owner>) -> Self {
        if let Some(driver) = &mut self.0 {
            driver.set_owner(owner);
        }
        self
    }

    /// Waits for the lease, holds it, and releases it when `token` is cancelled, for which it takes up to four seconds.
    ///
    /// # Errors
    /// Leadership was lost for another reason than shutdown: the lease could not be renewed in time, or somebody else holds
    /// it. The process has to end then, with an exit code that is not zero (a `Supervisor` sees to it), because nothing of
    /// what it knows was checked against another leader's work; the original does the same. Troubles before this replica
    /// leads are no errors: they are logged, and it tries again.
    pub async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        if let Some(driver) = self.0 {
            driver.run(token).await?;
        } else {
            token.cancelled().await;
        }
        Ok(())
    }
}

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
        let next = Instant::now() + self.settings.retry_period / 20;
        if error.is_conflict() {
            // Somebody was faster; look who.
            return next;
        }
        self.trouble.warn(&format!("leader election: {error}; trying again"));
        next.max(began + self.settings.retry_period)
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
