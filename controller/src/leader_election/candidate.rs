//! One replica's dealings with the Lease. [`decide`] says what to do, a pure function of what was seen, by when, and of what we
//! hold; [`Candidate`] does it. Each of its methods may be dropped at any await: what is not certain is then read again.

use std::time::Duration;

use holdfast_runtime::{call::CallError, owner::Owner};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

use super::{
    lease::{LeaseStore, Record},
    settings::Settings,
};

/// One candidate, later leader.
#[derive(Debug)]
pub struct Candidate<S> {
    store: S,
    identity: String,
    settings: Settings,
    /// With whom the Lease goes, if we have made it.
    owner: Option<Owner>,
    /// The server has not refused it: some want the right to delete for a change of owners.
    may_change_owner: bool,
    /// The Lease as last answered, to be replaced; `None` if there was none.
    lease: Option<Lease>,
    seen: Option<Observed>,
    term: Option<Term>,
    /// `lease` is the newest that we know of; false from before a write until its success.
    is_current: bool,
    /// A write that names us as the holder was sent: the Lease may be ours even if we never heard of it.
    may_be_holder: bool,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The lease is ours, counted from this instant.
    Leads(Instant),
    /// Nothing to do before this instant.
    Waits(Instant),
    /// It was ours, and is not any more.
    Lost(Loss),
}

impl<S: LeaseStore> Candidate<S> {
    pub fn new(store: S, identity: String, settings: Settings) -> Self {
        let (owner, lease, seen, term) = (None, None, None, None);
        let (may_change_owner, is_current, may_be_holder) = (true, false, false);
        Self { store, identity, settings, owner, may_change_owner, lease, seen, term, is_current, may_be_holder }
    }

    /// Lets a Lease that we make go when this owner goes.
    pub fn set_owner(&mut self, owner: Option<Owner>) {
        self.owner = owner;
    }

    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// `namespace/name` of the Lease.
    pub fn lease_name(&self) -> String {
        self.store.describe()
    }

    /// Who held the lease when it was last looked at; empty: nobody.
    pub fn holder(&self) -> &str {
        self.seen.as_ref().map_or("", |seen| seen.record.holder.as_str())
    }

    /// What we hold, as far as we know.
    pub fn term(&self) -> Option<Term> {
        self.term
    }

    /// Does the next thing: at most one read and one write, each within the limit of a call.
    pub async fn step(&mut self) -> Result<Step, CallError> {
        // A leader knows what it wrote; a write on top of anything else fails.
        if self.term.is_none() || !self.is_current {
            self.look().await?;
        }
        match decide(self.seen.as_ref(), self.term.as_ref(), &self.identity, &self.settings, Instant::now()) {
            Decision::Create => self.write(None).await,
            Decision::Take | Decision::Renew => self.write(self.lease.clone()).await,
            Decision::Wait(until) => {
                self.disown().await?;
                Ok(Step::Waits(until))
            }
            Decision::Lost(loss) => Ok(Step::Lost(loss)),
        }
    }

    /// Gives the lease back if it is ours, and returns whether it was. To be called when no request is under way that
    /// relies on it. Tries until it is certain, so the caller sets a limit.
    pub async fn release(&mut self) -> Result<bool, CallError> {
        if !self.may_be_holder {
            return Ok(false);
        }
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
                // A renewal for which we had ceased to wait came through after all.
                Err(error) if error.is_conflict() => self.is_current = false,
                Err(error) => return Err(error),
            }
        }
    }

    async fn look(&mut self) -> Result<(), CallError> {
        let lease = self.store.get(self.settings.call_limit()).await?;
        self.accept(lease);
        Ok(())
    }

    /// Writes our name into the Lease: into `base` as it was answered, or into a new one.
    async fn write(&mut self, base: Option<Lease>) -> Result<Step, CallError> {
        (self.is_current, self.may_be_holder) = (false, true);
        let limit = self.settings.call_limit();
        // The lease counts from here: nobody can see the new record earlier.
        let sent = Instant::now();
        let record = self.own_record(Timestamp::now());
        let is_new = base.is_none();
        let mut lease = base.unwrap_or_default();
        record.write_to(&mut lease);
        let stored = if is_new {
            lease.metadata.owner_references = self.owner.as_ref().map(Owner::references);
            self.store.create(&lease, limit).await?
        } else {
            let owner = self.owner.as_ref().filter(|_| self.may_change_owner);
            let adopts = owner.is_some_and(|owner| owner.adopt(&mut lease.metadata));
            self.replace(&lease, adopts).await?
        };
        self.accept(Some(stored));
        self.term = Some(Term { acquired: record.acquired, transitions: record.transitions, renewed: sent });
        Ok(Step::Leads(sent))
    }

    /// A Lease that another program holds is that program's from now on, and does not go with us.
    async fn disown(&mut self) -> Result<(), CallError> {
        let (Some(owner), Some(mut lease)) = (&self.owner, self.lease.clone()) else { return Ok(()) };
        let is_taken = self.term.is_none() && owner.is_foreign(&lease.metadata, "holderIdentity");
        if is_taken && self.may_change_owner && owner.disown(&mut lease.metadata) {
            self.is_current = false;
            let stored = self.replace(&lease, true).await?;
            self.accept(Some(stored));
        }
        Ok(())
    }

    async fn replace(&mut self, lease: &Lease, changes_owner: bool) -> Result<Lease, CallError> {
        let answer = self.store.replace(lease, self.settings.call_limit()).await;
        if changes_owner && answer.as_ref().is_err_and(CallError::is_forbidden) {
            self.may_change_owner = false;
        }
        answer
    }

    fn own_record(&self, now: Timestamp) -> Record {
        let last = self.seen.as_ref().map(|seen| seen.record.clone());
        let now = last.clone().unwrap_or_default().stamp(now);
        let (acquired, transitions) = match &self.term {
            Some(term) => (term.acquired, term.transitions),
            None => (Some(now), last.map_or(0, |last| last.transitions.saturating_add(1))),
        };
        let duration = Some(self.settings.lease_duration);
        Record { holder: self.identity.clone(), duration, acquired, renewed: Some(now), transitions }
    }

    /// Takes an answer for what the Lease is now.
    fn accept(&mut self, lease: Option<Lease>) {
        let last = self.seen.take();
        self.seen = lease.as_ref().map(|lease| Observed::next(last, Record::of(lease), Instant::now()));
        self.lease = lease;
        self.is_current = true;
    }
}

/// A record, and since when it is known to be unchanged by the clock of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What the Lease says.
    pub record: Record,
    /// When an answer first showed this record. The holder renewed it before.
    pub since: Instant,
}

impl Observed {
    /// After another look; `since` moves only if the record has changed.
    pub fn next(last: Option<Self>, record: Record, now: Instant) -> Self {
        last.filter(|last| last.record == record).unwrap_or(Self { record, since: now })
    }
}

/// A stretch of our own leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// `acquireTime` of the term. Together with `transitions` it tells the term from any other, even from one of another
    /// process by the same name.
    pub acquired: Option<Timestamp>,
    /// `leaseTransitions` of the term.
    pub transitions: i32,
    /// When the last successful renewal was sent. Nobody can have seen it before.
    pub renewed: Instant,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is no Lease: create it.
    Create,
    /// The lease is free or has expired: replace the Lease as it was read.
    Take,
    /// The lease is ours, and a renewal is due: replace the Lease.
    Renew,
    /// Nothing before this instant.
    Wait(Instant),
    /// We led, and do not any more.
    Lost(Loss),
}

/// How leadership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// No renewal has succeeded before the deadline.
    Expired,
    /// The Lease is not as we left it.
    Taken,
}

/// Decides. `seen` is what the last answer showed (`None`: there is no Lease), `term` what we hold.
pub fn decide(
    seen: Option<&Observed>,
    term: Option<&Term>,
    identity: &str,
    settings: &Settings,
    now: Instant,
) -> Decision {
    match (term, seen) {
        (Some(term), _) if now >= settings.give_up(term.renewed) => Decision::Lost(Loss::Expired),
        (Some(term), Some(seen)) if !is_ours(&seen.record, term, identity) => Decision::Lost(Loss::Taken),
        (_, None) => Decision::Create,
        (Some(term), Some(_)) => match term.renewed + settings.retry_period {
            due if now < due => Decision::Wait(due),
            _ => Decision::Renew,
        },
        (None, Some(seen)) => match expiry(seen, identity, settings.lease_duration) {
            Some(expiry) if now < expiry => Decision::Wait(expiry),
            _ => Decision::Take,
        },
    }
}

fn is_ours(record: &Record, term: &Term, identity: &str) -> bool {
    record.holder == identity && record.acquired == term.acquired && record.transitions == term.transitions
}

/// When the holder's lease ends; `None` if there is nobody to wait for: the lease was released, or its holder is a former
/// life of ours. A holder who does not say how long it counts on the lease is given as long as we would take.
fn expiry(seen: &Observed, identity: &str, default: Duration) -> Option<Instant> {
    let holder = seen.record.holder.as_str();
    let is_available = holder.is_empty() || holder == identity;
    (!is_available).then(|| seen.since + seen.record.duration.unwrap_or(default))
}
