//! What is known of one resource.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Ticket;
use super::failure::{Failure, LIMIT, Report, SHORTEST_PAUSE, SLOW, Verb, list_limit, pause, spread};

/// Failures until a resource is sick, where answers come.
const MOST_FAILURES: u32 = 3;
/// What has not failed for this long is forgotten. Longer than any pause.
pub(super) const MEMORY: Duration = Duration::from_secs(60);
/// Objects of a resource whose failures are remembered one by one.
pub(super) const MOST_OBJECTS: usize = 256;
/// For how long after a pause an object that has not failed goes before those that have.
const PRECEDENCE: Duration = Duration::from_secs(2);
/// Who has not failed goes first although the attempt before his turn, and the pause after it, take long.
const NEWCOMER: Duration = Duration::from_secs(20);
/// Between answers to reads where writing fails: they say little.
const READ_PAUSE: Duration = Duration::from_millis(2400);
/// An object without an answer casts doubt on the others for this long: longer than its next attempt takes to come.
const SUSPICION: Duration = Duration::from_secs(20);
/// A resource that has said 429 within this time is not one more that says so. Longer than it may ask us to wait.
const BUSY_MEMORY: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub(super) struct Circuit {
    /// Requests about objects.
    flying: BTreeMap<u64, Instant>,
    pub(super) last_good: Option<Instant>,
    pub(super) last_event: Option<Instant>,
    last_busy: Option<Instant>,
    /// What has failed and not done well since; `None` is the collection.
    pub(super) failed: BTreeMap<Option<String>, Failure>,
    pub(super) sickness: Option<Failure>,
    /// The requests that see how things are. One for the collection takes its time, and holds up no object.
    probes: Probes,
    /// When an object may be read again although it cannot be written.
    read_until: Option<Instant>,
    /// When an object that has not failed was refused.
    newcomer: Option<Instant>,
}

#[derive(Debug, Default)]
struct Probes {
    object: Option<u64>,
    collection: Option<u64>,
}

impl Probes {
    fn of(&mut self, is_object: bool) -> &mut Option<u64> {
        if is_object { &mut self.object } else { &mut self.collection }
    }
}

impl Circuit {
    /// Forgets what is over although nobody has seen it end.
    pub(super) fn forget(&mut self, now: Instant) {
        self.failed.retain(|_, failure| now < failure.until.max(failure.last) + MEMORY);
        if self.sickness.is_some() && self.sickness(now).is_none() {
            self.recover();
        }
    }

    pub(super) fn sickness(&self, now: Instant) -> Option<&Failure> {
        self.sickness.as_ref().filter(|failure| now.duration_since(failure.last) < MEMORY)
    }

    pub(super) fn is_sick(&self, now: Instant) -> bool {
        let Some(failure) = self.sickness(now) else { return false };
        let is_common = self.failed.len() > 1 || self.failed.contains_key(&None);
        failure.retry_after.is_some()
            || failure.is_silent && failure.failures > 0
            || failure.failures >= MOST_FAILURES && is_common
    }

    /// Whether all requests wait for a pause to end.
    pub(super) fn is_closed(&self, now: Instant) -> bool {
        self.is_sick(now) && self.sickness(now).is_some_and(|failure| now < failure.until)
    }

    /// Whether a request about an object sees how things are.
    pub(super) fn is_probed(&self) -> bool {
        self.probes.object.is_some()
    }

    /// Since when a request has got no answer while none of the resource got one.
    pub(super) fn slow_since(&self, now: Instant) -> Option<Instant> {
        self.late_since(now).filter(|since| self.last_good.is_none_or(|at| at < *since))
    }

    /// Since when the oldest request has got no answer, if that is long.
    pub(super) fn late_since(&self, now: Instant) -> Option<Instant> {
        // They are numbered in their order.
        self.flying.values().next().copied().filter(|since| now.duration_since(*since) >= SLOW)
    }

    /// Whether an object got no answer not long ago, and has got none since.
    pub(super) fn has_silent(&self, now: Instant) -> bool {
        let is_silent = |failure: &Failure| {
            failure.is_silent && failure.failures > 0 && now.duration_since(failure.last) < SUSPICION
        };
        self.failed.iter().any(|(object, failure)| object.is_some() && is_silent(failure))
    }

    /// Whether there was no 429 for long.
    pub(super) fn is_newly_busy(&self, now: Instant) -> bool {
        self.last_busy.is_none_or(|at| now.duration_since(at) >= BUSY_MEMORY)
    }

    /// Whether a request is to be refused now.
    pub(super) fn refuses(&self, ticket: &Ticket, is_slow: bool, now: Instant) -> bool {
        let own = self.failed.get(&ticket.target.object);
        let waits_itself = own.is_some_and(|own| (own.failures > 1 || own.is_silent) && now < own.until);
        if waits_itself || self.is_closed(now) {
            return true;
        }
        if !self.is_sick(now) && !is_slow {
            return false;
        }
        let is_object = ticket.target.object.is_some();
        let sickness = self.sickness(now);
        let is_idle_read = is_object
            && ticket.verb == Verb::Read
            && sickness.is_some_and(Failure::is_write)
            && self.read_until.is_some_and(|until| now < until);
        // Once the time has come, and not for ever: newcomers may come without end, and be of no use.
        let is_early = sickness.is_some_and(|failure| now < failure.until + PRECEDENCE);
        let is_after_newcomer = own.is_some() && is_early && self.newcomer.is_some_and(|at| now < at + NEWCOMER);
        let probe = if is_object { self.probes.object } else { self.probes.collection };
        is_idle_read || is_after_newcomer || probe.is_some()
    }

    /// A request is refused. If it is about something that has not failed, that is to go first.
    pub(super) fn turns_away(&mut self, object: Option<&String>, is_write: bool, now: Instant) {
        // That something can be read is of no use where writing fails.
        let is_of_use = is_write || self.sickness.as_ref().is_some_and(|failure| !failure.is_write());
        if is_of_use && !self.failed.contains_key(&object.cloned()) {
            self.newcomer = Some(now);
        }
    }

    /// A request is sent.
    pub(super) fn admits(&mut self, ticket: &mut Ticket, is_slow: bool, now: Instant) {
        let is_object = ticket.target.object.is_some();
        let own = self.failed.get(&ticket.target.object);
        let is_doubtful = is_slow || self.is_sick(now);
        ticket.limit = match (is_object, own) {
            (true, _) if is_doubtful => {
                // While others are still waited for, nobody knows that there will be no answer; but of this one.
                let silent = own.filter(|own| own.is_silent);
                let sickness = self.sickness(now).filter(|_| self.flying.is_empty());
                Some(silent.or(sickness).map_or(LIMIT, Failure::limit))
            }
            (true, Some(own)) if own.is_silent => Some(own.limit()),
            (true, _) => Some(LIMIT),
            (false, own) if is_doubtful || own.is_some_and(|own| own.is_silent) => {
                list_limit(own.map_or(0, |own| own.attempts))
            }
            (false, _) => None,
        };
        if is_doubtful {
            self.newcomer = self.newcomer.filter(|_| own.is_some());
            *self.probes.of(is_object) = Some(ticket.number);
        }
        if is_object && ticket.verb != Verb::Watch {
            self.flying.insert(ticket.number, now);
        }
    }

    /// A request has ended.
    pub(super) fn lands(&mut self, ticket: &Ticket) {
        self.flying.remove(&ticket.number);
        let probe = self.probes.of(ticket.target.object.is_some());
        *probe = probe.filter(|number| *number != ticket.number);
    }

    pub(super) fn does_well(&mut self, ticket: &Ticket, now: Instant) {
        let (object, is_write) = (&ticket.target.object, ticket.verb == Verb::Write);
        self.last_good = Some(now);
        // That something can be read does not say that it can be written; nor what was sent before that nothing fails now. But
        // where no answers came, an answer is what was missing.
        let is_over = |failure: &Failure| {
            (is_write || !failure.is_write()) && (ticket.since >= failure.last || failure.is_silent)
        };
        if self.failed.get(object).is_some_and(is_over) {
            self.failed.remove(object);
        }
        let Some(sickness) = &self.sickness else { return };
        if is_over(sickness) {
            if self.is_sick(now) && sickness.is_wide {
                // They need not wait any longer; who still fails will do so again.
                self.failed.values_mut().for_each(|failure| failure.until = now);
            }
            self.recover();
        } else if sickness.is_write() && !is_write && object.is_some() {
            self.read_until = Some(now + READ_PAUSE);
        }
    }

    /// A watch has begun.
    pub(super) fn watches(&mut self, ticket: &Ticket) {
        let is_over = |failure: &Failure| failure.verb == Verb::Watch && ticket.since >= failure.last;
        if self.failed.get(&None).is_some_and(is_over) {
            self.failed.remove(&None);
        }
        if self.sickness.as_ref().is_some_and(is_over) {
            self.recover();
        }
    }

    fn recover(&mut self) {
        (self.sickness, self.read_until, self.newcomer) = (None, None, None);
    }

    pub(super) fn fails(&mut self, ticket: &Ticket, report: &Report, now: Instant) {
        self.forget(now);
        let (object, resource) = (&ticket.target.object, ticket.resource());
        if report.retry_after.is_some() {
            self.last_busy = Some(now);
        }
        let long = |failures: u32| spread(pause(failures), resource);
        let retry_after = report.retry_after.map(|wait| spread(wait, resource));
        if self.failed.len() < MOST_OBJECTS || self.failed.contains_key(object) {
            let own = self.failed.entry(object.clone()).or_insert_with(|| Failure::new(ticket.since));
            own.add(report, long(own.failures), now);
            // If it is the only one, the others have as much time as it costs them.
            own.until = own.until.max(now + retry_after.unwrap_or_default() * 2);
        }
        // Others of the resource got their answers meanwhile, or not long ago although this one was silent already.
        let begun = self.failed.get(object).map_or(ticket.since, |own| own.since);
        let is_answered = |at: Instant| at >= ticket.since || at >= begun && now.duration_since(at) < SUSPICION;
        if report.is_silent && self.last_good.is_some_and(is_answered) {
            return;
        }
        // Where answers come, it may be about single objects, for which the others are not to wait. Those wait themselves.
        let is_wide = report.is_silent || object.is_none() || self.failed.contains_key(&None);
        let failure = self.sickness.get_or_insert_with(|| Failure::new(ticket.since));
        let pause = if is_wide { long(failure.failures) } else { spread(SHORTEST_PAUSE, resource) };
        failure.add(report, pause, now);
        failure.is_wide |= is_wide;
        failure.retry_after = report.retry_after.or(failure.retry_after);
        failure.until = failure.until.max(now + retry_after.unwrap_or_default());
    }
}
