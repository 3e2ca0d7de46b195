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
    fn others(&mut self, millis: u64) {
        let at = self.at(millis);
        let ticket = self.health.begin(target("others", Some("/o")), true, false, at).unwrap();
        self.health.end(&ticket, Outcome::Good, at);
    }

    /// A write of an object ends like this; false if it was not sent.
    fn write(&mut self, millis: u64, object: &str, outcome: Outcome) -> bool {
        self.request(millis, Some(object), true, outcome)
    }

    fn request(&mut self, millis: u64, object: Option<&str>, is_write: bool, outcome: Outcome) -> bool {
        self.others(millis);
        let at = self.at(millis);
        let Ok(ticket) = self.health.begin(target("parts", object), is_write, false, at) else { return false };
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
    assert_eq!(story.standing(200), Standing::Held);
    assert!(!story.write(300, "d", Outcome::Good), "all wait");
    let until = 200 + 4800;
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
    let at = story.at(2100);
    let probe = story.health.begin(target("parts", Some("a")), true, false, at).unwrap();
    assert_eq!(probe.limit, Some(SLOW));
    assert_eq!(story.standing(2200), Standing::Held);
    let hold = story.health.begin(target("parts", Some("b")), true, false, at).unwrap_err();
    assert!(hold.is_for_all && hold.is_brief, "{hold:?}");
    assert_eq!(
        hold.words,
        "requests for parts.x wait, since others fail: no; the server asks to wait 2 s before the next request for parts.x"
    );
    story.health.end(&probe, Outcome::Unknown, at);
    assert_eq!(story.standing(2200), Standing::Due);
}

#[test]
fn reading_does_not_say_that_it_can_be_written() {
    let mut story = Story::begin();
    for millis in [0, 100, 200] {
        story.write(millis, "a", failed());
        story.write(millis, "b", failed());
    }
    assert_eq!(story.standing(300), Standing::Held);
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
            story.others(millis);
            let reading = story.health.begin(target("parts", Some("gone")), false, false, at);
            let _ =
                story.health.begin(target("parts", Some(&format!("n{millis}"))), is_write, false, at).map(|ticket| {
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
    let before = story.health.begin(target("parts", Some("b")), true, false, start).unwrap();
    story.write(10, "a", Outcome::Busy(Duration::from_secs(2), "no".to_owned()));
    story.health.end(&before, Outcome::Good, story.at(20));
    assert_eq!(story.standing(30), Standing::Held);
    assert!(!story.write(1900, "b", Outcome::Good));
    assert!(story.write(2100, "b", Outcome::Good));
    assert_eq!(story.standing(2100), Standing::Well);
}

#[test]
fn silence_casts_doubt_before_it_is_over() {
    let mut story = Story::begin();
    let start = story.at(0);
    let slow = story.health.begin(target("parts", Some("a")), true, false, start).unwrap();
    assert_eq!(story.standing(1500), Standing::Well, "nobody answers: that is an outage");
    story.others(500);
    assert_eq!(story.standing(900), Standing::Well);
    assert_eq!(story.standing(1000), Standing::Due);
    let at = story.at(1100);
    let second = story.health.begin(target("parts", Some("b")), true, false, at).unwrap();
    assert!(story.health.begin(target("parts", Some("c")), true, false, at).is_err(), "one at a time");
    story.health.end(&second, Outcome::Good, story.at(1200));
    assert_eq!(story.standing(1300), Standing::Well, "it is only that object");
    story.others(1400);
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
    let ward = |story: &Story| story.health.wards[&Resource::new("x", "parts")].failed.len();
    assert!(ward(&story) <= MOST_OBJECTS);
    story.write(120_000, "b", failed());
    assert_eq!(ward(&story), 1);
}
