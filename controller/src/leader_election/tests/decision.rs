//! What to do next, by what was seen and what we hold.

use super::{
    super::candidate::{Decision, Loss, Observed, Term, decide},
    *,
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
