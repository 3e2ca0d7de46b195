//! What to do next about the lease: a pure function of what was seen, by when, and of what we hold.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::record::Record;
use super::settings::Settings;

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
    let is_free = holder.is_empty() || holder == identity;
    (!is_free).then(|| seen.since + seen.record.duration.unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    };

    fn record(holder: &str, duration: Option<u64>, transitions: i32) -> Record {
        let acquired = Some(Timestamp::UNIX_EPOCH);
        Record {
            holder: holder.to_owned(),
            duration: duration.map(Duration::from_secs),
            acquired,
            renewed: acquired,
            transitions,
        }
    }

    #[test]
    fn what_to_do() {
        use Decision::{Create, Lost, Renew, Take, Wait};
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let other = |duration| Some(record("other", duration, 3));
        let term = Term { acquired: Some(Timestamp::UNIX_EPOCH), transitions: 3, renewed: start };
        let ours = Some(record("me", Some(15), 3));
        let restarted = Some(Record { acquired: Some(Timestamp::MAX), ..record("me", Some(15), 3) });
        // All were first seen at 0 s; a term was last renewed at 0 s.
        for (name, seen, leads, now, expected) in [
            ("no lease", None, false, 0, Create),
            ("held", other(Some(15)), false, 0, Wait(at(15))),
            ("held until the last moment", other(Some(15)), false, 14, Wait(at(15))),
            ("expired", other(Some(15)), false, 15, Take),
            ("the holder's duration counts, not ours", other(Some(60)), false, 59, Wait(at(60))),
            ("a short lease", other(Some(1)), false, 1, Take),
            ("no duration: ours", other(None), false, 14, Wait(at(15))),
            ("no duration, expired", other(None), false, 15, Take),
            ("released", Some(record("", Some(1), 3)), false, 0, Take),
            ("empty", Some(Record::default()), false, 0, Take),
            ("a former life", ours.clone(), false, 0, Take),
            ("renewed just now", ours.clone(), true, 1, Wait(at(2))),
            ("renewal due", ours.clone(), true, 2, Renew),
            ("renewal late", ours.clone(), true, 9, Renew),
            ("deadline", ours.clone(), true, 10, Lost(Loss::Expired)),
            ("taken", other(Some(15)), true, 2, Lost(Loss::Taken)),
            ("taken, and no renewal due", other(Some(15)), true, 1, Lost(Loss::Taken)),
            ("cleared by somebody", Some(record("", Some(1), 3)), true, 2, Lost(Loss::Taken)),
            ("taken by our name", Some(record("me", Some(15), 4)), true, 2, Lost(Loss::Taken)),
            ("created anew by our name", restarted, true, 2, Lost(Loss::Taken)),
            ("deleted while we lead", None, true, 2, Create),
            ("deleted, and too late", None, true, 10, Lost(Loss::Expired)),
        ] {
            let seen = seen.map(|record| Observed { record, since: start });
            let actual = decide(seen.as_ref(), leads.then_some(&term), "me", &SETTINGS, at(now));
            assert_eq!(actual, expected, "{name}");
        }
    }

    #[test]
    fn only_a_changed_record_counts_as_a_sign_of_life() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = record("other", Some(15), 3);
        let mut seen = Observed::next(None, first.clone(), at(0));
        seen = Observed::next(Some(seen), first.clone(), at(14));
        assert_eq!(seen.since, at(0), "seen again");
        // Whatever the holder's clock says, also if it went back.
        for (renewed, since) in [(Timestamp::MAX, 20), (Timestamp::MIN, 30)] {
            seen = Observed::next(Some(seen), Record { renewed: Some(renewed), ..first.clone() }, at(since));
            assert_eq!(seen.since, at(since));
            assert_eq!(decide(Some(&seen), None, "me", &SETTINGS, at(since + 14)), Decision::Wait(at(since + 15)));
        }
    }
}
