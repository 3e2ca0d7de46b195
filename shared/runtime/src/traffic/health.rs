//! Which resources do not answer as they should, and what may still be sent to them.
//!
//! A resource is sick when its requests fail again and again while other resources do well, when one gets no answer, or when the
//! server says 429 for it. Then one request at a time is sent, with a pause between that grows up to five seconds, and all
//! others are refused here. The first good answer ends that. When nothing answers at all, nobody is sick: that is an outage,
//! and callers have their own way with those.
//!
//! An object that fails again and again while others of its resource do well only waits itself. Objects that have not failed go
//! first, so that those that always fail cannot shut them out.
//!
//! Time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::hold::{OnHold, SILENCE};
use super::resource::{Resource, Target};

/// A request without an answer for this long casts doubt on its resource.
pub(super) const SLOW: Duration = Duration::from_secs(1);
/// A little less than the limit of callers, so that the words are ours.
const LIMIT: Duration = Duration::from_millis(9500);
/// The next attempt at a resource that is sick; now and then a long one, since it may only be slow.
const PROBE_LIMITS: [Duration; 4] = [SLOW, SLOW, SLOW, LIMIT];
/// A list has more to say.
const LIST_LIMIT: Duration = Duration::from_secs(5);
/// The pauses between attempts. All are longer than a second, so that fewer than one request a second is sent.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Trouble that is younger may be over at once, such as that of a definition that was just created.
const BRIEF: Duration = Duration::from_secs(3);
/// For how long after a pause an object that has not failed goes before those that have.
const PRECEDENCE: Duration = Duration::from_secs(2);
/// Failures until a resource is sick, where answers come.
const MOST_FAILURES: u32 = 3;
/// An object that has not failed for this long is forgotten.
const MEMORY: Duration = Duration::from_secs(60);
/// Objects of a resource whose failures are remembered one by one.
const MOST_OBJECTS: usize = 256;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The server answered as it should, be it with a refusal.
    Good,
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
    is_write: bool,
    is_watch: bool,
    since: Instant,
    /// When to give it up.
    pub(super) limit: Option<Duration>,
}

impl Ticket {
    pub(super) fn resource(&self) -> &Resource {
        &self.target.resource
    }

    pub(super) fn is_watch(&self) -> bool {
        self.is_watch
    }
}

/// How a resource stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Requests are sent.
    Well,
    /// Requests wait.
    Held,
    /// The next request is sent, to see how things are.
    Due,
}

/// All resources.
#[derive(Debug, Default)]
pub(super) struct Health {
    wards: BTreeMap<Resource, Ward>,
    number: u64,
}

#[derive(Debug, Default)]
struct Ward {
    flying: BTreeMap<u64, Instant>,
    last_good: Option<Instant>,
    last_event: Option<Instant>,
    /// What has failed and not done well since; `None` is the collection.
    failed: BTreeMap<Option<String>, Trouble>,
    sickness: Option<Trouble>,
    asked: Option<Duration>,
    probe: Option<u64>,
    /// When an object that has not failed was refused.
    newcomer: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Trouble {
    since: Instant,
    last: Instant,
    until: Instant,
    /// Those during which other resources did well.
    failures: u32,
    attempts: u32,
    is_write: bool,
    is_silent: bool,
    words: String,
}

impl Trouble {
    fn new(since: Instant) -> Self {
        Self {
            since,
            last: since,
            until: since,
            failures: 0,
            attempts: 0,
            is_write: false,
            is_silent: false,
            words: String::new(),
        }
    }

    fn add(&mut self, now: Instant, counts: bool, is_write: bool, is_silent: bool, words: &str) {
        (self.last, self.attempts) = (now, self.attempts.saturating_add(1));
        self.is_write |= is_write;
        self.is_silent = is_silent;
        words.clone_into(&mut self.words);
        if counts {
            self.until = now + pause(self.failures);
            self.failures = self.failures.saturating_add(1);
        }
    }

    fn limit(&self) -> Duration {
        PROBE_LIMITS.get(self.attempts as usize % PROBE_LIMITS.len()).copied().unwrap_or(SLOW)
    }
}

fn pause(failures: u32) -> Duration {
    (SHORTEST_PAUSE * (1 << failures.min(4))).min(LONGEST_PAUSE)
}

impl Ward {
    fn is_sick(&self) -> bool {
        let Some(trouble) = &self.sickness else { return false };
        let is_common = self.failed.len() > 1 || self.failed.contains_key(&None);
        self.asked.is_some()
            || trouble.is_silent && trouble.failures > 0
            || trouble.failures >= MOST_FAILURES && is_common
    }

    /// Since when a request has got no answer while none of the resource got one.
    fn slow_since(&self, now: Instant) -> Option<Instant> {
        let is_slow =
            |since: &Instant| now.duration_since(*since) >= SLOW && self.last_good.is_none_or(|at| at < *since);
        self.flying.values().copied().find(is_slow)
    }
}

impl Health {
    /// Asks whether a request may be sent.
    pub(super) fn begin(
        &mut self,
        target: Target,
        is_write: bool,
        is_watch: bool,
        now: Instant,
    ) -> Result<Ticket, OnHold> {
        let is_slow = self.is_slow(&target.resource, now);
        let ward = self.wards.entry(target.resource.clone()).or_default();
        let is_sick = ward.is_sick();
        let own = ward.failed.get(&target.object);
        let waits_itself =
            own.is_some_and(|own| own.failures > 1 || own.is_silent) && own.is_some_and(|own| now < own.until);
        let is_new = own.is_none();
        // Once the time has come, and not for ever: newcomers may come without end, and be of no use.
        let is_early = ward.sickness.as_ref().is_some_and(|trouble| now < trouble.until + PRECEDENCE);
        let is_after_newcomer = !is_new && is_early && ward.newcomer.is_some_and(|at| now < at + LONGEST_PAUSE * 2);
        let is_closed = is_sick && ward.sickness.as_ref().is_some_and(|trouble| now < trouble.until);
        let is_doubtful = is_sick || is_slow;
        if waits_itself || is_closed || is_doubtful && (ward.probe.is_some() || is_after_newcomer) {
            // That something can be read is of no use where writing fails.
            if is_new && (is_write || ward.sickness.as_ref().is_some_and(|trouble| !trouble.is_write)) {
                ward.newcomer = Some(now);
            }
            return Err(self.refusal(&target, now));
        }
        self.number += 1;
        let number = self.number;
        let mut limit = (!is_watch && target.object.is_some()).then_some(LIMIT);
        if is_doubtful {
            ward.probe = Some(number);
            ward.newcomer = ward.newcomer.filter(|_| !is_new);
            let first = if is_slow { SLOW } else { LIMIT };
            limit = Some(ward.sickness.as_ref().map_or(first, Trouble::limit));
        } else if let Some(own) = own.filter(|own| own.is_silent) {
            limit = Some(own.limit());
        }
        if target.object.is_none() {
            limit = limit.map(|_| LIST_LIMIT);
        }
        if !is_watch && target.object.is_some() {
            ward.flying.insert(number, now);
        }
        Ok(Ticket { number, target, is_write, is_watch, since: now, limit })
    }

    /// Takes down what became of a request. True if that changes how its resource stands.
    pub(super) fn end(&mut self, ticket: &Ticket, outcome: Outcome, now: Instant) -> bool {
        let resource = &ticket.target.resource;
        let last = self.wards.get(resource).and_then(|ward| Some(ward.sickness.as_ref()?.last));
        let others_do_well = self.others_do_well(resource, last.unwrap_or(ticket.since));
        let Some(ward) = self.wards.get_mut(resource) else { return false };
        let was_sick = ward.is_sick();
        ward.flying.remove(&ticket.number);
        if ward.probe == Some(ticket.number) {
            ward.probe = None;
        }
        match outcome {
            Outcome::Unknown => {}
            Outcome::Alive => ward.last_event = Some(now),
            Outcome::Good => ward.does_well(ticket, now),
            Outcome::Failed(words) => ward.fails(ticket, others_do_well, false, &words, now),
            Outcome::Silent => ward.fails(ticket, others_do_well, true, SILENCE, now),
            Outcome::Busy(wait, words) => {
                ward.fails(ticket, true, false, &words, now);
                ward.asked = Some(wait);
                if let Some(trouble) = &mut ward.sickness {
                    trouble.until = trouble.until.max(now + wait);
                }
            }
        }
        was_sick != ward.is_sick()
    }

    /// What is told of a request that has ended without an answer.
    pub(super) fn told(&self, ticket: &Ticket, now: Instant) -> OnHold {
        self.refusal(&ticket.target, now)
    }

    /// What a request about an object would be told, were it refused now.
    pub(super) fn refusal(&self, target: &Target, now: Instant) -> OnHold {
        let ward = self.wards.get(&target.resource);
        let sickness = ward.and_then(|ward| ward.sickness.as_ref());
        let own = ward.and_then(|ward| ward.failed.get(&target.object));
        let is_for_all = self.is_doubtful(&target.resource, now);
        let mut words = match (own, sickness) {
            (Some(own), _) => own.words.clone(),
            (None, Some(trouble)) if ward.is_some_and(Ward::is_sick) => {
                format!("requests for {} wait, since others fail: {}", target.resource, trouble.words)
            }
            _ => SILENCE.to_owned(),
        };
        if let Some(asked) = ward.and_then(|ward| ward.asked) {
            let seconds = asked.as_secs();
            words =
                format!("{words}; the server asks to wait {seconds} s before the next request for {}", target.resource);
        }
        let until = [own, sickness].into_iter().flatten().map(|trouble| trouble.until).max().unwrap_or(now);
        let slow = ward.and_then(|ward| ward.slow_since(now));
        let since = [own, sickness].into_iter().flatten().map(|trouble| trouble.since).chain(slow).min().unwrap_or(now);
        let is_brief = now.duration_since(since) < BRIEF;
        OnHold { words, wait: until.saturating_duration_since(now), is_brief, is_for_all }
    }

    /// How a resource stands.
    pub(super) fn standing(&self, resource: &Resource, now: Instant) -> Standing {
        let Some(ward) = self.wards.get(resource).filter(|_| self.is_doubtful(resource, now)) else {
            return Standing::Well;
        };
        let is_closed = ward.is_sick() && ward.sickness.as_ref().is_some_and(|trouble| now < trouble.until);
        if ward.probe.is_some() || is_closed { Standing::Held } else { Standing::Due }
    }

    fn is_doubtful(&self, resource: &Resource, now: Instant) -> bool {
        self.is_slow(resource, now) || self.wards.get(resource).is_some_and(Ward::is_sick)
    }

    fn is_slow(&self, resource: &Resource, now: Instant) -> bool {
        let since = self.wards.get(resource).and_then(|ward| ward.slow_since(now));
        since.is_some_and(|since| self.others_do_well(resource, since))
    }

    /// Whether another resource has answered as it should since then.
    pub(super) fn others_do_well(&self, resource: &Resource, since: Instant) -> bool {
        let mut others = self.wards.iter().filter(|(other, _)| *other != resource);
        others.any(|(_, ward)| ward.last_good.max(ward.last_event).is_some_and(|at| at >= since))
    }
}

impl Ward {
    fn does_well(&mut self, ticket: &Ticket, now: Instant) {
        let (object, is_write) = (&ticket.target.object, ticket.is_write);
        let was_sick = self.is_sick();
        self.last_good = Some(now);
        // That something can be read does not say that it can be written; nor what was sent before that nothing fails now.
        let is_over = |trouble: &Trouble| (is_write || !trouble.is_write) && ticket.since >= trouble.last;
        if self.failed.get(object).is_some_and(is_over) {
            self.failed.remove(object);
        }
        if self.sickness.as_ref().is_some_and(is_over) {
            if was_sick {
                // They need not wait any longer; who still fails will do so again.
                self.failed.values_mut().for_each(|trouble| trouble.until = now);
            }
            (self.sickness, self.asked, self.newcomer) = (None, None, None);
        }
    }

    fn fails(&mut self, ticket: &Ticket, counts: bool, is_silent: bool, words: &str, now: Instant) {
        self.failed.retain(|_, trouble| now.duration_since(trouble.last) < MEMORY);
        let object = &ticket.target.object;
        if self.failed.len() < MOST_OBJECTS || self.failed.contains_key(object) {
            let own = self.failed.entry(object.clone()).or_insert_with(|| Trouble::new(ticket.since));
            own.add(now, counts, ticket.is_write, is_silent, words);
        }
        if is_silent && self.last_good.is_some_and(|at| at >= ticket.since) {
            // Others of the resource got their answers meanwhile.
            return;
        }
        let trouble = self.sickness.get_or_insert_with(|| Trouble::new(ticket.since));
        trouble.add(now, counts, ticket.is_write, is_silent, words);
    }
}

#[cfg(test)]
#[path = "health/tests.rs"]
mod tests;
