use super::circuit::{MEMORY, MOST_OBJECTS};
use super::failure::LIMIT;
use super::*;

fn target(resource: &str, object: Option<&str>) -> Target {
    Target { resource: Resource::new("x", resource), object: object.map(str::to_owned) }
}

/// A table of moments, what happens then, and how the resource stands afterwards.
struct Story {
    health: Health,
    start: Instant,
}

impl Story {
    fn begin() -> Self {
        Self { health: Health::default(), start: Instant::now() }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    /// Another resource answers.
    fn rest(&mut self, millis: u64) {
        let at = self.at(millis);
        let ticket = self.health.begin(target("others", Some("/o")), Verb::Write, at).unwrap();
        self.health.end(&ticket, Outcome::Good, at);
    }

    /// A write of an object ends like this; false if it was not sent.
    fn write(&mut self, millis: u64, object: &str, outcome: Outcome) -> bool {
        self.request(millis, Some(object), true, outcome)
    }

    fn request(&mut self, millis: u64, object: Option<&str>, is_write: bool, outcome: Outcome) -> bool {
        self.rest(millis);
        let at = self.at(millis);
        let Ok(ticket) =
            self.health.begin(target("parts", object), if is_write { Verb::Write } else { Verb::Read }, at)
        else {
            return false;
        };
        self.health.end(&ticket, outcome, at);
        true
    }

    fn standing(&self, millis: u64) -> Standing {
        self.health.standing(&Resource::new("x", "parts"), self.at(millis))
    }
}

fn failed() -> Outcome {
    Outcome::Failed("no".to_owned())
}

#[test]
fn a_resource_is_sick_when_several_fail_and_well_after_one_success() {
    let mut story = Story::begin();
    for (millis, object) in [(0, "a"), (100, "b"), (200, "c")] {
        assert!(story.write(millis, object, failed()));
    }
    assert_eq!(story.standing(200), Standing::Suspended);
    assert!(!story.write(300, "d", Outcome::Good), "all wait");
    let until = 200 + 1200 * 6 / 5;
    assert_eq!(story.standing(until), Standing::Due);
    assert!(!story.write(until, "a", Outcome::Good), "one that has failed lets others go first");
    assert!(story.write(until, "d", Outcome::Good));
    assert_eq!(story.standing(until), Standing::Well);
    assert!(story.write(until, "a", Outcome::Good));
}

#[test]
fn only_one_at_a_time_sees_how_things_are() {
    let mut story = Story::begin();
    story.write(0, "a", Outcome::Busy(Duration::from_secs(2), "no".to_owned()));
    assert!(!story.write(1900, "a", Outcome::Good));
    let at = story.at(2400);
    let probe = story.health.begin(target("parts", Some("a")), Verb::Write, at).unwrap();
    assert_eq!(probe.limit, Some(SLOW));
    assert_eq!(story.standing(2500), Standing::Suspended);
    let deferred = story.health.begin(target("parts", Some("b")), Verb::Write, at).unwrap_err();
    assert!(deferred.is_for_all && deferred.is_brief, "{deferred:?}");
    assert_eq!(
        deferred.words,
        "requests for parts.x wait, since others fail: no; the server asks to wait 2 s before the next request for parts.x"
    );
    story.health.end(&probe, Outcome::Unknown, at);
    assert_eq!(story.standing(2500), Standing::Due);
}

#[test]
fn reading_does_not_say_that_it_can_be_written() {
    let mut story = Story::begin();
    for millis in [0, 100, 200] {
        story.write(millis, "a", failed());
        story.write(millis, "b", failed());
    }
    assert_eq!(story.standing(300), Standing::Suspended);
    assert!(story.request(6000, Some("c"), false, Outcome::Good));
    assert_ne!(story.standing(6000), Standing::Well);
    assert!(story.write(12_100, "c", Outcome::Good));
    assert_eq!(story.standing(12_100), Standing::Well);
}

#[test]
fn who_failed_has_a_turn_although_others_come_without_end() {
    for is_write in [false, true] {
        let mut story = Story::begin();
        story.write(0, "a", Outcome::Busy(Duration::from_secs(1), "no".to_owned()));
        // Others are refused all the time, and what they read says nothing about writing.
        let mut well = None;
        for millis in (100..20_000).step_by(100) {
            let at = story.at(millis);
            story.rest(millis);
            let reading = story.health.begin(target("parts", Some("gone")), Verb::Read, at);
            let _ = story
                .health
                .begin(
                    target("parts", Some(&format!("n{millis}"))),
                    if is_write { Verb::Write } else { Verb::Read },
                    at,
                )
                .map(|ticket| {
                    story.health.end(&ticket, Outcome::Unknown, at);
                });
            if let Ok(reading) = reading {
                story.health.end(&reading, Outcome::Good, at);
            }
            if story.write(millis, "a", Outcome::Good) {
                well.get_or_insert(millis);
            }
        }
        assert!(well.is_some_and(|millis| millis < 5000), "{is_write}: {well:?}");
    }
}

#[test]
fn what_was_sent_before_says_nothing() {
    let mut story = Story::begin();
    let start = story.at(0);
    let before = story.health.begin(target("parts", Some("b")), Verb::Write, start).unwrap();
    story.write(10, "a", Outcome::Busy(Duration::from_secs(2), "no".to_owned()));
    story.health.end(&before, Outcome::Good, story.at(20));
    assert_eq!(story.standing(30), Standing::Suspended);
    assert!(!story.write(1900, "b", Outcome::Good));
    assert!(story.write(2400, "b", Outcome::Good));
    assert_eq!(story.standing(2400), Standing::Well);
}

#[test]
fn silence_casts_doubt_before_it_is_over() {
    let mut story = Story::begin();
    let start = story.at(0);
    let slow = story.health.begin(target("parts", Some("a")), Verb::Write, start).unwrap();
    assert_eq!(story.standing(1500), Standing::Well, "nobody answers: that is an outage");
    story.rest(500);
    assert_eq!(story.standing(900), Standing::Well);
    assert_eq!(story.standing(1000), Standing::Due);
    let at = story.at(1100);
    let second = story.health.begin(target("parts", Some("b")), Verb::Write, at).unwrap();
    assert!(story.health.begin(target("parts", Some("c")), Verb::Write, at).is_err(), "one at a time");
    story.health.end(&second, Outcome::Good, story.at(1200));
    assert_eq!(story.standing(1300), Standing::Well, "it is only that object");
    story.rest(1400);
    story.health.end(&slow, Outcome::Silent, story.at(9500));
    assert_eq!(story.standing(9500), Standing::Well);
    assert!(story.write(9600, "b", Outcome::Good));
    assert!(!story.write(9700, "a", Outcome::Good), "it waits itself");
}

#[test]
fn old_failures_are_forgotten() {
    let mut story = Story::begin();
    for number in 0..MOST_OBJECTS * 2 {
        story.write(0, &format!("a{number}"), failed());
    }
    let circuit = |story: &Story| story.health.circuits[&Resource::new("x", "parts")].failed.len();
    assert!(circuit(&story) <= MOST_OBJECTS);
    story.write(120_000, "b", failed());
    assert_eq!(circuit(&story), 1);
}

#[test]
fn a_sickness_ends_with_its_memory_although_nobody_tries_again() {
    let mut story = Story::begin();
    for (millis, object) in [(0, "a"), (10, "b"), (20, "c")] {
        story.write(millis, object, failed());
    }
    let memory = u64::try_from(MEMORY.as_millis()).unwrap();
    // Reading succeeds all the time, and says nothing.
    let mut reads = 0;
    for millis in (100..memory).step_by(20) {
        reads += u64::from(story.request(millis, Some("r"), false, Outcome::Good));
        assert_ne!(story.standing(millis), Standing::Well, "{millis}");
    }
    assert!((5..memory / 2000).contains(&reads), "{reads} reads in a minute");
    assert_eq!(story.standing(20 + memory), Standing::Well);
    let slow = story.health.refusal(&target("parts", Some("n")), story.at(memory * 60));
    assert!(!slow.words.contains("others fail") && !slow.is_for_all, "{slow:?}");
    assert!(story.write(memory * 60, "n", Outcome::Good));
}

#[test]
fn a_healthy_object_waits_no_longer_than_the_shortest_pause_for_those_that_fail() {
    let denied = || Outcome::Busy(Duration::from_secs(1), "denied".to_owned());
    for (case, outcome, objects, most) in [("500", failed as fn() -> Outcome, 2, 1500), ("429", denied, 1, 1500)] {
        let mut story = Story::begin();
        let (mut refused, mut longest, mut bad) = (None, 0, 0);
        for millis in (0..120_000).step_by(50) {
            for object in 0..objects {
                bad += u64::from(story.write(millis, &format!("bad-{object}"), outcome()));
            }
            if story.write(millis, "good", Outcome::Good) {
                longest = longest.max(millis - refused.take().unwrap_or(millis));
            } else {
                refused.get_or_insert(millis);
            }
        }
        assert!(longest <= most, "{case}: {longest}");
        assert!((20..100).contains(&bad), "{case}: {bad} failed in two minutes");
    }
}

#[test]
fn a_long_wait_for_one_object_leaves_as_much_time_for_the_others() {
    let mut story = Story::begin();
    let mut sent = 0;
    for millis in (0..600_000).step_by(100) {
        story.write(millis, "bad", Outcome::Busy(Duration::from_secs(30), "denied".to_owned()));
        sent += u64::from(story.write(millis, "good", Outcome::Good));
    }
    assert!(sent > 2000, "{sent} of 6000");
}

#[test]
fn who_has_not_failed_goes_first_although_refused_before_a_request_was_made() {
    let mut story = Story::begin();
    for (millis, object) in [(0, "a"), (10, "b"), (20, "c")] {
        story.write(millis, object, failed());
    }
    let new = target("parts", Some("n"));
    assert!(!story.health.has_failed(&new) && story.health.has_failed(&target("parts", Some("a"))));
    let at = story.at(100);
    story.health.turn_away(&new, at);
    assert!(!story.write(1500, "a", Outcome::Good), "the other one is to come first");
    assert!(story.write(1510, "n", Outcome::Good));
}

#[test]
fn what_can_only_be_listed_slowly_is_listed_at_last() {
    let mut story = Story::begin();
    let mut limits = vec![];
    let mut millis = 0;
    while limits.len() < 5 {
        millis += 100;
        story.rest(millis);
        let at = story.at(millis);
        let Ok(list) = story.health.begin(target("parts", None), Verb::Read, at) else { continue };
        limits.push(list.limit.map(|limit| limit.as_secs()));
        // All others go on meanwhile.
        let write = story.health.begin(target("parts", Some("o")), Verb::Write, at + SLOW);
        if let Ok(write) = write {
            story.health.end(&write, Outcome::Unknown, at + SLOW);
        }
        story.health.end(&list, Outcome::Silent, at + Duration::from_secs(6));
        millis += 6000;
    }
    // The first has the time of any list.
    assert_eq!(limits, [None, Some(5), Some(5), None, Some(5)]);
}

#[test]
fn a_long_list_holds_up_no_object() {
    let mut story = Story::begin();
    for millis in [0, 10_000, 20_000] {
        story.request(millis, None, false, Outcome::Silent);
    }
    let list = story.health.begin(target("parts", None), Verb::Read, story.at(40_000)).unwrap();
    assert_eq!(list.limit, None);
    assert!(story.write(40_100, "a", Outcome::Good));
    story.health.end(&list, Outcome::Good, story.at(60_000));
    assert!(!story.health.has_failed(&target("parts", None)));
}

#[test]
fn a_kind_that_takes_long_to_answer_is_not_taken_for_dead() {
    for seconds in [2, 5, 9] {
        let mut story = Story::begin();
        let start = story.at(0);
        let begin = |story: &mut Story, object: usize, at| {
            story.health.begin(target("parts", Some(&format!("a{object}"))), Verb::Write, at)
        };
        let mut flying: Vec<_> = (0..16).map(|object| (0, begin(&mut story, object, start).unwrap())).collect();
        let (mut next_object, mut done) = (16, vec![]);
        for millis in (0..40_000).step_by(100) {
            let at = story.at(millis);
            story.rest(millis);
            let (over, still): (Vec<_>, Vec<_>) =
                flying.into_iter().partition(|(begun, _)| millis - begun >= seconds * 1000);
            flying = still;
            for (begun, ticket) in over {
                assert_eq!(ticket.limit, Some(LIMIT), "{seconds}: of a request at {begun}");
                story.health.end(&ticket, Outcome::Good, at);
                done.push(millis);
            }
            while next_object < 30
                && let Ok(ticket) = begin(&mut story, next_object, at)
            {
                flying.push((millis, ticket));
                next_object += 1;
            }
        }
        assert_eq!(done.len(), 30, "{seconds}");
        assert!(*done.last().unwrap() <= seconds * 2000 + 1100, "{seconds}: {done:?}");
    }
}

#[test]
fn an_answer_that_comes_late_ends_the_silence() {
    let mut story = Story::begin();
    let early = story.health.begin(target("parts", Some("a")), Verb::Write, story.at(0)).unwrap();
    story.write(100, "b", Outcome::Silent);
    assert_ne!(story.standing(200), Standing::Well);
    story.health.end(&early, Outcome::Good, story.at(300));
    assert_eq!(story.standing(300), Standing::Well);
}

#[test]
fn one_that_hangs_casts_suspicion_on_its_resource_whatever_others_of_it_do() {
    let mut story = Story::begin();
    let parts = Resource::new("x", "parts");
    let suspicious = |story: &Story, millis| story.health.is_suspicious(&parts, story.at(millis));
    let hangs = story.health.begin(target("parts", Some("a")), Verb::Write, story.at(0)).unwrap();
    assert!(!suspicious(&story, 2000), "nobody answers");
    story.write(500, "b", Outcome::Good);
    assert_eq!((suspicious(&story, 900), suspicious(&story, 1000)), (false, true));
    assert_eq!(story.standing(1000), Standing::Well);
    story.rest(9000);
    story.health.end(&hangs, Outcome::Silent, story.at(9500));
    assert!(suspicious(&story, 20_000), "it will hang again");
    assert!(!suspicious(&story, 30_000));
}

#[test]
fn a_watch_that_begins_ends_the_trouble_of_those_that_did_not() {
    let mut story = Story::begin();
    let watch = |story: &mut Story, millis, outcome| {
        story.rest(millis);
        let at = story.at(millis);
        let ticket = story.health.begin(target("parts", None), Verb::Watch, at);
        ticket.is_ok_and(|ticket| {
            story.health.end(&ticket, outcome, at);
            true
        })
    };
    for millis in [0, 5000, 11_000] {
        assert!(watch(&mut story, millis, failed()));
    }
    assert_eq!(story.standing(11_100), Standing::Suspended);
    assert!(watch(&mut story, 18_000, Outcome::Begun));
    assert_eq!(story.standing(18_000), Standing::Well);
    assert!(!story.health.has_failed(&target("parts", None)));
    // It does not say that it can be listed.
    story.request(19_000, None, false, Outcome::Silent);
    watch(&mut story, 26_000, Outcome::Begun);
    assert!(story.health.has_failed(&target("parts", None)));
}

#[test]
fn objects_that_hang_again_and_again_do_not_close_their_kind() {
    let mut story = Story::begin();
    let (mut flying, mut refused, mut longest): (Vec<(u64, Ticket)>, Option<u64>, u64) = (vec![], None, 0);
    for millis in (0..120_000).step_by(50) {
        let at = story.at(millis);
        story.rest(millis);
        let (over, still): (Vec<_>, Vec<_>) =
            flying.into_iter().partition(|(begun, ticket)| story.at(*begun) + ticket.limit.unwrap() <= at);
        flying = still;
        for (_, ticket) in over {
            story.health.end(&ticket, Outcome::Silent, at);
        }
        for object in 0..20 {
            let object = target("parts", Some(&format!("hang-{object}")));
            let is_flying = flying.iter().any(|(_, ticket)| ticket.target == object);
            if !is_flying && let Ok(ticket) = story.health.begin(object, Verb::Write, at) {
                flying.push((millis, ticket));
            }
        }
        // Another one is written every ten seconds, and until that succeeds.
        if (millis % 10_000 == 5000 || refused.is_some()) && !story.write(millis, "fine", Outcome::Good) {
            refused.get_or_insert(millis);
        } else if let Some(since) = refused.take() {
            longest = longest.max(millis - since);
        }
    }
    assert!(longest <= 1500, "{longest}");
}
