//! A request under way.

use http::{Method, Request};
use tokio::time::Instant;

use super::Traffic;
use super::health::{Outcome, SLOW, Ticket, Verb};
use super::resource::{Resource, Target};
use crate::deferred::Deferred;

/// Whose Leases are the election's business: it has its own limits, and must go on whatever else does.
const ELECTION: &str = "coordination.k8s.io";

/// From sending a request to the end of its answer. What became of it is taken down at the latest when this is dropped.
pub(super) struct Flight {
    traffic: Traffic,
    ticket: Option<Ticket>,
    since: Instant,
    is_open: bool,
}

impl Flight {
    /// Asks for leave to send a request.
    pub(super) fn begin<B>(traffic: &Traffic, verb: &str, request: &Request<B>) -> Result<Self, Deferred> {
        let since = Instant::now();
        let target = Target::of(request.uri().path()).filter(|target| target.resource.group != ELECTION);
        let ticket = match target.filter(|_| traffic.0.is_cautious) {
            Some(target) => {
                let verb = match *request.method() {
                    _ if verb == "watch" => Verb::Watch,
                    Method::GET | Method::HEAD => Verb::Read,
                    _ => Verb::Write,
                };
                Some(traffic.health().begin(target, verb, since)?)
            }
            None => None,
        };
        traffic.unanswered().asks(since);
        Ok(Self { traffic: traffic.clone(), ticket, since, is_open: true })
    }

    /// When to give it up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ticket.as_ref()?.limit.map(|limit| self.since + limit)
    }

    /// Whether all of it has to come by a certain time.
    pub(super) fn is_limited(&self) -> bool {
        self.deadline().is_some()
    }

    /// Whether the body is about an object, so that it has to be one.
    pub(super) fn is_checked(&self) -> bool {
        self.ticket.is_some()
    }

    /// What it is about; `None` where that does not matter.
    pub(super) fn resource(&self) -> Option<&Resource> {
        self.ticket.as_ref().map(Ticket::resource)
    }

    /// Whether what the server says of it may not be shown.
    pub(super) fn is_secret(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.resource().is_secret())
    }

    /// Ends it.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.close(outcome);
    }

    /// Ends it; what the caller is told instead of an answer.
    pub(super) fn refuse(mut self, outcome: Outcome) -> Deferred {
        let words = match &outcome {
            Outcome::Failed(words) => words.clone(),
            _ => crate::deferred::NO_ANSWER.to_owned(),
        };
        self.close(outcome);
        match &self.ticket {
            Some(ticket) => self.traffic.health().error_of(ticket, Instant::now()),
            None => Deferred { words, wait: std::time::Duration::ZERO, is_brief: true, is_for_all: false },
        }
    }

    /// A watch has begun: whether it is alive shows with its first event.
    pub(super) fn goes_on(&self) {
        self.traffic.unanswered().good();
        self.take_down(Outcome::Begun);
    }

    /// An event came.
    pub(super) fn is_alive(&self) {
        self.take_down(Outcome::Alive);
    }

    fn close(&mut self, outcome: Outcome) {
        if std::mem::take(&mut self.is_open) {
            self.take_down(outcome);
        }
    }

    fn take_down(&self, outcome: Outcome) {
        let now = Instant::now();
        if matches!(outcome, Outcome::Good | Outcome::Alive) {
            self.traffic.unanswered().good();
        }
        if let Some(ticket) = &self.ticket
            && self.traffic.health().end(ticket, outcome, now)
        {
            self.traffic.0.changed.notify_waiters();
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // Who gave it up quickly had another reason.
        let is_slow = self.since.elapsed() >= SLOW && self.ticket.as_ref().is_some_and(|ticket| !ticket.is_watch());
        self.close(if is_slow { Outcome::Silent } else { Outcome::Unknown });
    }
}
