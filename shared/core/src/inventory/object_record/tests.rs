use super::*;
use crate::manifest::annotations::ManagementMode;

fn reference() -> ResourceReference {
    ResourceReference {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: "n".into(),
        name: "a".into(),
        ..Default::default()
    }
}

fn one() -> Digest {
    Digest::parse("00112233445566778899aabbccddeeff").unwrap()
}

fn other() -> Digest {
    Digest::parse("ffeeddccbbaa99887766554433221100").unwrap()
}

/// An object with our entry as we wrote it.
fn seen(version: &str) -> Observed {
    Observed { entry: Some(one()), ..Observed::sample(version) }
}

/// An object whose declared fields others have changed.
fn changed(version: &str) -> Observed {
    Observed { entry: Some(other()), ..seen(version) }
}

fn terminating(version: &str) -> Observed {
    Observed { deleting: true, ..seen(version) }
}

fn applied(observed: Observed) -> Applied {
    Applied { manifest: one(), management_mode: ManagementMode::Reconcile, observed }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An object written at version 5, by this process or an earlier one.
fn record(is_own: bool) -> ObjectRecord {
    let mut record = ObjectRecord::default();
    if is_own {
        record.applied(applied(seen("5")), seconds(0));
    } else {
        let mut reference = reference();
        applied(seen("5")).remember(&mut reference);
        record.recall(&reference);
    }
    record
}

fn metadata(observed: &Observed) -> ObjectMeta {
    ObjectMeta {
        uid: Some(observed.uid.clone()),
        resource_version: Some(observed.resource_version.clone()),
        ..ObjectMeta::default()
    }
}

/// An event in the life of an object.
enum Step {
    Begin,
    /// The server accepts the write.
    Answer(Observed),
    /// The write ends without an answer.
    NoAnswer,
    Watch(Observed),
    /// A watch reports the end of the object with this uid.
    Gone(&'static str),
}

use Step::{Answer, Begin, Gone, NoAnswer, Watch};

/// Returns the states that watch events lead to, in order, and the result of the last write.
fn run(record: &mut ObjectRecord, steps: &[Step]) -> (Vec<Option<State>>, WriteResult) {
    let (mut sightings, mut result, mut now) = (Vec::new(), WriteResult::default(), seconds(0));
    for step in steps {
        now += seconds(1);
        match step {
            Begin => record.begin_write(),
            Answer(observed) => result = record.applied(applied(observed.clone()), now),
            NoAnswer => record.end_write(),
            Watch(observed) if record.is_own_write(&metadata(observed)) => sightings.push(None),
            Watch(observed) => {
                let sighting = record.observe(Live::Present(observed.clone()), None, now);
                sightings.push(sighting.map(|sighting| sighting.state));
            }
            Gone(uid) => {
                let sighting = record.observe(Live::Gone, Some(uid), now);
                sightings.push(sighting.map(|sighting| sighting.state));
            }
        }
    }
    (sightings, result)
}

#[test]
fn an_echo_is_told_from_a_change_by_others() {
    let (in_sync, drifted, missing) = (State::InSync, State::Drifted, State::Missing);
    let new = || Observed { uid: "v".into(), ..seen("6") };
    for (case, steps, sightings, is_changed_again, state) in [
        ("after the answer", vec![Begin, Answer(seen("6")), Watch(seen("6"))], vec![None], false, in_sync),
        ("before the answer", vec![Begin, Watch(seen("6")), Answer(seen("6"))], vec![None], false, in_sync),
        (
            "before and after the answer",
            vec![Begin, Watch(seen("6")), Answer(seen("6")), Watch(seen("6"))],
            vec![None, None],
            false,
            in_sync,
        ),
        ("others were first", vec![Begin, Watch(changed("6")), Answer(seen("7"))], vec![None], false, in_sync),
        ("others came after us", vec![Begin, Watch(changed("7")), Answer(seen("6"))], vec![None], true, drifted),
        (
            "ours, and then others, before the answer",
            vec![Begin, Watch(seen("6")), Watch(changed("7")), Answer(seen("6"))],
            vec![None, None],
            true,
            drifted,
        ),
        ("deleted after our write", vec![Begin, Gone("u"), Answer(seen("6"))], vec![None], true, missing),
        ("the end of what was there before", vec![Begin, Gone("u"), Answer(new())], vec![None], false, in_sync),
        ("no answer: it is a change", vec![Begin, NoAnswer, Watch(changed("6"))], vec![Some(drifted)], false, drifted),
        ("no answer: what was heard counts", vec![Begin, Watch(changed("6")), NoAnswer], vec![None], false, drifted),
        ("a change", vec![Watch(changed("6"))], vec![Some(drifted)], false, drifted),
        ("old news", vec![Watch(changed("4"))], vec![None], false, in_sync),
        ("the end of another object", vec![Gone("w")], vec![None], false, in_sync),
        ("its end", vec![Gone("u")], vec![Some(missing)], false, missing),
        (
            "changed, and changed back",
            vec![Watch(changed("6")), Watch(Observed { generation: None, ..seen("5") })],
            vec![Some(drifted), None],
            false,
            in_sync,
        ),
    ] {
        let mut record = record(true);
        let (found, result) = run(&mut record, &steps);
        assert_eq!(found, sightings, "{case}");
        assert_eq!((result.is_changed_again, record.state(one())), (is_changed_again, state), "{case}");
    }
}

#[test]
fn a_change_is_noticed_once_and_the_repair_says_how_long_it_took() {
    let mut record = record(true);
    let first = record.observe(Live::Present(changed("6")), None, seconds(10));
    assert_eq!(first, Some(Sighting { state: State::Drifted, is_first: true }));
    let second = record.observe(Live::Present(changed("7")), None, seconds(11));
    assert_eq!(second, Some(Sighting { state: State::Drifted, is_first: false }));
    record.begin_write();
    let repaired = WriteResult { waited: Some(seconds(5)), is_changed_again: false };
    assert_eq!(record.applied(applied(seen("8")), seconds(15)), repaired);
    let again = record.observe(Live::Gone, Some("u"), seconds(20));
    assert_eq!(again, Some(Sighting { state: State::Missing, is_first: true }));
    record.forget_notice();
    let repaired = WriteResult { waited: None, is_changed_again: false };
    assert_eq!(record.applied(applied(Observed { uid: "v".into(), ..seen("9") }), seconds(21)), repaired, "paused");
}

#[test]
fn that_an_object_is_to_be_kept_is_said_although_nothing_is_to_be_done() {
    let mut record = record(true);
    let with_keep_object = |version: &str, keep_object| {
        Live::Present(Observed { keep_object: Some(keep_object), generation: None, ..seen(version) })
    };
    // Without a generation, a new version is a change. With one, a new annotation is none.
    record.applied(applied(Observed { generation: Some(1), ..seen("5") }), seconds(0));
    let with_generation = |live| match live {
        Live::Present(observed) => Live::Present(Observed { generation: Some(1), ..observed }),
        live => live,
    };
    for (version, keep_object, is_reported) in
        [("6", true, true), ("7", true, false), ("8", false, true), ("9", false, false)]
    {
        let sighting = record.observe(with_generation(with_keep_object(version, keep_object)), None, seconds(1));
        let expected = is_reported.then_some(Sighting { state: State::InSync, is_first: false });
        assert_eq!(sighting, expected, "{version}");
        assert_eq!(record.latest().and_then(|latest| latest.keep_object), Some(keep_object));
    }
}

/// Whether `repair: Resync` leaves the object alone until the next sync.
fn needs_nothing(record: &ObjectRecord) -> bool {
    match record.state(one()) {
        State::InSync => !record.is_write_due(),
        state @ (State::Drifted | State::Missing) => record.may_wait(state),
        _ => false,
    }
}

#[test]
fn what_failed_is_due_until_a_write_succeeds() {
    let (gone, drifted) = (Live::Gone, Live::Present(seen("6")));
    for live in [Live::Unknown, gone, drifted] {
        let mut record = record(true);
        record.observe(live.clone(), Some("u"), seconds(0));
        assert!(needs_nothing(&record), "nothing is due: {live:?}");
        record.set_write_due();
        for _ in 0..2 {
            // A failed attempt: the write ends without an answer.
            record.begin_write();
            record.end_write();
            assert!(!needs_nothing(&record) && !record.is_written(one()), "{live:?}");
        }
        // Watch reports do not settle a due write.
        record.observe(Live::Present(seen("7")), None, seconds(0));
        record.observe(Live::Gone, Some("u"), seconds(0));
        assert!(!needs_nothing(&record), "deleted while it was tried: {live:?}");
        record.begin_write();
        record.applied(applied(seen("9")), seconds(0));
        assert!(record.is_written(one()), "{live:?}");
        assert!(!record.is_written(Digest::default()), "another manifest");
    }
}

#[test]
fn whoever_leads_next_knows_what_failed() {
    for (case, live, is_due, needs_nothing_then) in [
        ("all is well", Live::Unknown, false, true),
        ("tried in vain", Live::Unknown, true, false),
        ("changed by others, and left", Live::Present(seen("6")), false, true),
        ("changed by others, and tried in vain", Live::Present(seen("6")), true, false),
        ("gone, and tried in vain", Live::Gone, true, false),
    ] {
        let mut before = record(true);
        before.observe(live.clone(), Some("u"), seconds(0));
        if is_due {
            before.set_write_due();
        }
        let mut inventory = reference();
        before.remember(&mut inventory);
        let mut next = ObjectRecord::default();
        next.recall(&inventory);
        if matches!(live, Live::Present(_)) {
            next.observe(live, None, seconds(0));
        }
        assert_eq!(needs_nothing(&next), needs_nothing_then, "{case}");
    }
}

#[test]
fn what_is_gone_at_the_start_may_have_been_deleted_to_be_created_again() {
    for (case, is_own, before, needs_nothing_then) in [
        ("by an earlier process", false, None, false),
        ("it was in deletion already", false, Some(terminating("6")), false),
        ("by others, before our eyes", false, Some(seen("5")), true),
        ("by others, after our write", true, None, true),
    ] {
        let mut record = record(is_own);
        if let Some(before) = before {
            record.observe(Live::Present(before), None, seconds(0));
        }
        record.observe(Live::Gone, Some("u"), seconds(0));
        assert_eq!(record.state(one()), State::Missing);
        assert_eq!(needs_nothing(&record), needs_nothing_then, "{case}");
    }
}

#[test]
fn the_next_leader_does_not_write_to_what_is_being_deleted() {
    let mut before = record(true);
    before.observe(Live::Present(terminating("6")), None, seconds(0));
    before.set_write_due();
    let mut inventory = reference();
    before.remember(&mut inventory);
    let mut next = ObjectRecord::default();
    next.recall(&inventory);
    assert_eq!(next.state(one()), State::InSync);
    next.observe(Live::Present(terminating("6")), None, seconds(0));
    assert_eq!(next.state(one()), State::Terminating);
}
