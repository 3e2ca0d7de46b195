//! What has failed, and until when it is left alone.

use std::time::Duration;

use tokio::time::Instant;

use super::super::resource::Resource;

/// A request without an answer for this long casts doubt on its resource.
pub(in super::super) const SLOW: Duration = Duration::from_secs(1);
/// A little less than the limit of callers, so that the words are ours.
pub(super) const LIMIT: Duration = Duration::from_millis(9500);
/// The next attempt at what is silent; now and then a long one, since it may only be slow.
const PROBE_LIMITS: [Duration; 4] = [SLOW, SLOW, SLOW, LIMIT];
/// A list has more to say. The long attempt has the time of any list.
const LIST_LIMITS: [Option<Duration>; 4] = [Some(SHORT_LIST), Some(SHORT_LIST), Some(SHORT_LIST), None];
const SHORT_LIST: Duration = Duration::from_secs(5);
/// The pauses between attempts. All are longer than a second, so that fewer than one request a second is sent.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(1200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Pauses of different resources differ by up to this share of a thousand, so that those that fell sick together are not asked
/// together for ever.
const SPREAD: u32 = 200;

/// What a request does; a success of one says that those before it would succeed as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Verb {
    /// It begins a watch.
    Watch,
    Read,
    Write,
}

/// How a request failed.
pub(super) struct Report {
    pub(super) verb: Verb,
    pub(super) is_silent: bool,
    /// Other resources did well meanwhile.
    pub(super) counts: bool,
    /// 429, and for how long nothing is to be sent.
    pub(super) retry_after: Option<Duration>,
    pub(super) words: String,
}

/// What has failed and not done well since.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) since: Instant,
    pub(super) last: Instant,
    pub(super) until: Instant,
    /// Those during which other resources did well.
    pub(super) failures: u32,
    pub(super) attempts: u32,
    /// What failed; the last of them in their order.
    pub(super) verb: Verb,
    pub(super) is_silent: bool,
    /// It is not only about single objects.
    pub(super) is_wide: bool,
    /// What the server asked for.
    pub(super) retry_after: Option<Duration>,
    pub(super) words: String,
}

impl Failure {
    pub(super) fn new(since: Instant) -> Self {
        Self {
            since,
            last: since,
            until: since,
            failures: 0,
            attempts: 0,
            verb: Verb::Watch,
            is_silent: false,
            is_wide: false,
            retry_after: None,
            words: String::new(),
        }
    }

    pub(super) fn add(&mut self, report: &Report, pause: Duration, now: Instant) {
        (self.last, self.attempts) = (now, self.attempts.saturating_add(1));
        self.verb = self.verb.max(report.verb);
        self.is_silent = report.is_silent;
        self.words.clone_from(&report.words);
        if report.counts {
            self.until = self.until.max(now + pause);
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Whether writes failed. That something can be read says little then.
    pub(super) fn is_write(&self) -> bool {
        self.verb == Verb::Write
    }

    /// The limit of the next attempt at an object.
    pub(super) fn limit(&self) -> Duration {
        PROBE_LIMITS.get(self.attempts as usize % PROBE_LIMITS.len()).copied().unwrap_or(SLOW)
    }
}

/// The limit of the next list, after so many that failed.
pub(super) fn list_limit(attempts: u32) -> Option<Duration> {
    LIST_LIMITS.get(attempts as usize % LIST_LIMITS.len()).copied().flatten()
}

/// The pause after so many failures before.
pub(super) fn pause(failures: u32) -> Duration {
    (SHORTEST_PAUSE * (1 << failures.min(4))).min(LONGEST_PAUSE)
}

/// A pause as long as is meant, or a little longer: always as much for the same resource.
pub(super) fn spread(pause: Duration, resource: &Resource) -> Duration {
    let bytes = resource.group.bytes().chain(resource.plural.bytes());
    // FNV-1a.
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    pause + pause * ((hash ^ hash >> 15) % SPREAD) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ_a_little() {
        let pauses: Vec<_> = (0..7).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [1200, 2400, 4800, 5000, 5000, 5000, 5000]);
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..15 {
            let resource = Resource::new("x", format!("k{number}s"));
            let pause = spread(Duration::from_secs(1), &resource);
            assert!((1000..1200).contains(&pause.as_millis()), "{pause:?}");
            seen.insert(pause);
        }
        assert!(seen.len() > 10, "{seen:?}");
    }

    #[test]
    fn each_fourth_attempt_is_a_long_one() {
        let lists: Vec<_> = (0..5).map(|attempts| list_limit(attempts).map(|limit| limit.as_secs())).collect();
        assert_eq!(lists, [Some(5), Some(5), Some(5), None, Some(5)]);
    }
}
