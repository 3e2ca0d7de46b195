//! Which resources do not answer as they should, and what may still be sent to them.
//!
//! A resource is sick when its requests fail again and again while other resources do well, when one gets no answer, or when the
//! server says 429 for it. Then one request at a time is sent, with a pause between, and all others are refused here. The pause
//! grows up to five seconds where it is about the whole resource: after silence, and where it cannot be listed. Where single
//! objects fail it stays short. The first good answer ends that, or a minute without a failure. When nothing answers at all, nobody is sick: that is an outage,
//! and callers have their own way with those.
//!
//! An object that fails again and again while others of its resource do well only waits itself. Objects that have not failed go
//! first, so that those that always fail cannot shut them out.
//!
//! Time is an argument.

mod circuit;
mod failure;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::resource::{Resource, Target};
use crate::deferred::{Deferred, NO_ANSWER};
use circuit::Circuit;
use failure::Report;

pub(super) use failure::{SLOW, Verb};

/// Trouble that is younger may be over at once, such as that of a definition that was just created.
const BRIEF: Duration = Duration::from_secs(3);

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The server answered as it should, be it with a refusal.
    Good,
    /// A watch has begun: the server says more from now on.
    Begun,
    /// An event of a watch that has begun before. It says nothing about requests that are sent now.
    Alive,
    /// It failed, with these words.
    Failed(String),
    /// No answer came in time.
    Silent,
    /// 429: the next one after this time.
    Busy(Duration, String),
    /// Nobody knows: the caller did not wait for the answer.
    Unknown,
}

/// A request that may be sent.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    number: u64,
    target: Target,
    verb: Verb,
    since: Instant,
    /// When to give it up.
    pub(super) limit: Option<Duration>,
}

impl Ticket {
    pub(super) fn resource(&self) -> &Resource {
        &self.target.resource
    }

    pub(super) fn is_watch(&self) -> bool {
        self.verb == Verb::Watch
    }
}

/// How a resource stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Requests are sent.
    Well,
    /// Requests wait.
    Suspended,
    /// The next request is sent, to see how things are.
    Due,
}

/// All resources.
#[derive(Debug, Default)]
pub(super) struct Health {
    circuits: BTreeMap<Resource, Circuit>,
    number: u64,
}

impl Health {
    /// Asks whether a request may be sent.
    pub(super) fn begin(&mut self, target: Target, verb: Verb, now: Instant) -> Result<Ticket, Deferred> {
        let is_slow = self.is_slow(&target.resource, now);
        self.number += 1;
        let mut ticket = Ticket { number: self.number, target, verb, since: now, limit: None };
        let circuit = self.circuits.entry(ticket.resource().clone()).or_default();
        circuit.forget(now);
        if circuit.refuses(&ticket, is_slow, now) {
            circuit.turns_away(ticket.target.object.as_ref(), verb == Verb::Write, now);
            return Err(self.refusal(&ticket.target, now));
        }
        circuit.admits(&mut ticket, is_slow, now);
        Ok(ticket)
    }

    /// Refuses a request about an object before it is made. It waits as one that was made.
    pub(super) fn turn_away(&mut self, target: &Target, now: Instant) -> Deferred {
        if let Some(circuit) = self.circuits.get_mut(&target.resource) {
            circuit.turns_away(target.object.as_ref(), true, now);
        }
        self.refusal(target, now)
    }

    /// Takes down what became of a request. True if that changes how its resource stands.
    pub(super) fn end(&mut self, ticket: &Ticket, outcome: Outcome, now: Instant) -> bool {
        let resource = &ticket.target.resource;
        let last = self.circuits.get(resource).and_then(|circuit| Some(circuit.sickness(now)?.last));
        let rest_is_healthy = self.rest_is_healthy(resource, last.unwrap_or(ticket.since));
        let Some(circuit) = self.circuits.get_mut(resource) else { return false };
        let was_sick = circuit.is_sick(now);
        circuit.lands(ticket);
        let failure = match outcome {
            Outcome::Unknown => None,
            Outcome::Begun => {
                circuit.watches(ticket);
                None
            }
            Outcome::Alive => {
                circuit.last_event = Some(now);
                None
            }
            Outcome::Good => {
                circuit.does_well(ticket, now);
                None
            }
            Outcome::Failed(words) => Some((false, None, words)),
            Outcome::Silent => Some((true, None, NO_ANSWER.to_owned())),
            Outcome::Busy(wait, words) => Some((false, Some(wait), words)),
        };
        if let Some((is_silent, retry_after, words)) = failure {
            let counts = rest_is_healthy || retry_after.is_some();
            circuit.fails(ticket, &Report { verb: ticket.verb, is_silent, counts, retry_after, words }, now);
        }
        was_sick != circuit.is_sick(now)
    }

    /// What is told of a request that has ended without an answer.
    pub(super) fn error_of(&self, ticket: &Ticket, now: Instant) -> Deferred {
        self.refusal(&ticket.target, now)
    }

    /// What a request about an object would be told, were it refused now.
    pub(super) fn refusal(&self, target: &Target, now: Instant) -> Deferred {
        let circuit = self.circuits.get(&target.resource);
        let sickness = circuit.and_then(|circuit| circuit.sickness(now));
        let own = circuit.and_then(|circuit| circuit.failed.get(&target.object));
        let is_for_all = self.is_doubtful(&target.resource, now);
        let mut words = match (own, sickness) {
            (Some(own), _) => own.words.clone(),
            (None, Some(failure)) if circuit.is_some_and(|circuit| circuit.is_sick(now)) => {
                format!("requests for {} wait, since others fail: {}", target.resource, failure.words)
            }
            _ => NO_ANSWER.to_owned(),
        };
        if let Some(retry_after) = sickness.and_then(|failure| failure.retry_after) {
            let seconds = retry_after.as_secs();
            words =
                format!("{words}; the server asks to wait {seconds} s before the next request for {}", target.resource);
        }
        let until = [own, sickness].into_iter().flatten().map(|failure| failure.until).max().unwrap_or(now);
        let slow = circuit.and_then(|circuit| circuit.slow_since(now));
        let since = [own, sickness].into_iter().flatten().map(|failure| failure.since).chain(slow).min().unwrap_or(now);
        let is_brief = now.duration_since(since) < BRIEF;
        Deferred { words, wait: until.saturating_duration_since(now), is_brief, is_for_all }
    }

    /// How a resource stands.
    pub(super) fn standing(&self, resource: &Resource, now: Instant) -> Standing {
        let Some(circuit) = self.circuits.get(resource).filter(|_| self.is_doubtful(resource, now)) else {
            return Standing::Well;
        };
        if circuit.is_probed() || circuit.is_closed(now) { Standing::Suspended } else { Standing::Due }
    }

    /// Whether a request for a resource has got no answer for long, whatever others of it got, or an object got none lately.
    pub(super) fn is_suspicious(&self, resource: &Resource, now: Instant) -> bool {
        let Some(circuit) = self.circuits.get(resource) else { return false };
        circuit.has_silent(now) || circuit.late_since(now).is_some_and(|since| self.rest_is_healthy(resource, since))
    }

    /// Whether an object has failed and not done well since.
    pub(super) fn has_failed(&self, target: &Target) -> bool {
        self.circuits.get(&target.resource).is_some_and(|circuit| circuit.failed.contains_key(&target.object))
    }

    /// Whether a resource has not said 429 for long.
    pub(super) fn is_newly_busy(&self, resource: &Resource, now: Instant) -> bool {
        self.circuits.get(resource).is_none_or(|circuit| circuit.is_newly_busy(now))
    }

    fn is_doubtful(&self, resource: &Resource, now: Instant) -> bool {
        self.is_slow(resource, now) || self.circuits.get(resource).is_some_and(|circuit| circuit.is_sick(now))
    }

    fn is_slow(&self, resource: &Resource, now: Instant) -> bool {
        let since = self.circuits.get(resource).and_then(|circuit| circuit.slow_since(now));
        since.is_some_and(|since| self.rest_is_healthy(resource, since))
    }

    /// Whether another resource has answered as it should since then.
    pub(super) fn rest_is_healthy(&self, resource: &Resource, since: Instant) -> bool {
        let mut rest = self.circuits.iter().filter(|(other, _)| *other != resource);
        rest.any(|(_, circuit)| circuit.last_good.max(circuit.last_event).is_some_and(|at| at >= since))
    }

    /// Whether a request about another resource was answered as it should be since then.
    pub(super) fn rest_answers(&self, resource: &Resource, since: Instant) -> bool {
        let mut rest = self.circuits.iter().filter(|(other, _)| *other != resource);
        rest.any(|(_, circuit)| circuit.last_good.is_some_and(|at| at >= since))
    }
}

#[cfg(test)]
mod tests;
