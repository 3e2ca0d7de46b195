//! The recorded reviews and Secrets with random damage: the targets of cargo-fuzz for some seconds, with a stable toolchain.
//!
//! `HOLDFAST_FUZZ_SEED` and `HOLDFAST_FUZZ_SECONDS` make it another run, or a longer one.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use holdfast_core as core;
use holdfast_fuzz_targets as targets;
use holdfast_testing::{Dice, edits::pointers};
use holdfast_webhook::admission::protect::decide;
use holdfast_webhook::admission::review::Request;
use serde_json::Value;

use crate::recorded::{self, Setting, text_without_times};

const SEED: u64 = 5;
/// For each of the targets.
const SECONDS: u64 = 6;
/// More memory than this in the end is none that was needed.
const MEMORY_KIB: u64 = 512 << 10;
/// What is put somewhere.
const WORDS: [&str; 26] = [
    "null",
    "{}",
    "[]",
    "-1",
    "1e999",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "true",
    "\"f:spec\"",
    "\"k:{\\\"name\\\":1}\"",
    "\"v:1\"",
    "\"i:9\"",
    "\"..\"",
    "99999999999999999999",
    "\"2999-01-01T00:00:00Z\"",
    "\"uid\":",
    "\"request\":",
    ",",
    "---\n",
    "&a [*a]",
    "? ",
    "!!binary ",
    "<<: ",
    "\u{feff}",
    "| \n",
];

/// Some damage to the bytes themselves.
fn torn(mut bytes: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    for _ in 0..=dice.throw(4) {
        let at = dice.throw(bytes.len());
        let end = (at + dice.throw(200)).min(bytes.len());
        match dice.throw(6) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            2 if at < bytes.len() => bytes[at] = u8::try_from(dice.throw(256)).unwrap(),
            3 => drop(bytes.splice(at..at, b"[".repeat(dice.throw(3000)))),
            4 => bytes.truncate(at),
            _ => drop(bytes.splice(at..at, WORDS[dice.throw(WORDS.len())].bytes())),
        }
    }
    bytes
}

/// The same review with other values here and there: of other reviews, or of another type. It stays JSON.
fn twisted(body: &str, other: &str, dice: &mut Dice) -> Vec<u8> {
    let [mut review, other]: [Value; 2] = [body, other].map(|text| serde_json::from_str(text).unwrap());
    for _ in 0..=dice.throw(4) {
        let [here, there] = [&review, &other].map(pointers);
        let place = here[dice.throw(here.len())].clone();
        let value = match dice.throw(3) {
            0 => serde_json::from_str(WORDS[dice.throw(10)]).unwrap_or(Value::Null),
            _ => other.pointer(&there[dice.throw(there.len())]).unwrap().clone(),
        };
        if place.contains("/request/") {
            *review.pointer_mut(&place).unwrap() = value;
        }
    }
    review.to_string().into_bytes()
}

fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok().filter(|text| !text.is_empty());
    given.map_or(default, |text| text.parse().unwrap())
}

/// Until the time is up; the number of attempts and the seed are printed, and what was tried when it fails.
fn run(name: &str, mut attempt: impl FnMut(&mut Dice) -> Vec<u8>, target: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let seed = setting("HOLDFAST_FUZZ_SEED", SEED);
    let time = Duration::from_secs(setting("HOLDFAST_FUZZ_SECONDS", SECONDS));
    let (mut dice, begin, mut count) = (Dice::new(seed), Instant::now(), 0);
    while begin.elapsed() < time {
        let body = attempt(&mut dice);
        count += 1;
        let ended = std::panic::catch_unwind(|| target(&body));
        assert!(ended.is_ok(), "{name}, seed {seed}, attempt {count}: {}", String::from_utf8_lossy(&body));
    }
    eprintln!("{name}: {count} attempts, HOLDFAST_FUZZ_SEED={seed}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    assert!(peak.unwrap_or_default() < MEMORY_KIB, "{name}, seed {seed}: {peak:?} KiB");
}

#[test]
fn any_review_is_answered() {
    let bodies: Vec<String> = recorded::files(".json").iter().map(|name| recorded::body(name)).collect();
    for body in &bodies {
        targets::review(body.as_bytes());
    }
    let attempt = |dice: &mut Dice| {
        let [body, other] = [0, 0].map(|_| &bodies[dice.throw(bodies.len())]);
        match dice.throw(3) {
            0 => torn(body.clone().into_bytes(), dice),
            1 => torn(twisted(body, other, dice), dice),
            _ => twisted(body, other, dice),
        }
    };
    run("reviews", attempt, targets::review);
}

/// Edits are read without what is the same before and after; that must not make a difference.
#[test]
fn what_is_left_out_of_an_edit_changes_no_verdict() {
    let names = recorded::files(".json");
    let bodies: Vec<String> =
        names.iter().filter(|name| name.starts_with("protect/")).map(|name| recorded::body(name)).collect();
    let settings = [Setting::Recorded, Setting::UnknownClosed].map(|setting| (setting.index(), setting.rules()));
    let counted = std::sync::atomic::AtomicUsize::new(0);
    let compare = |body: &[u8]| {
        let (Ok(whole), Ok(changes)) = (Request::read(body), Request::read_changes(body)) else {
            assert!(Request::read(body).is_err() && Request::read_changes(body).is_err());
            return;
        };
        let text = |request: &Request| request.old_object.as_ref().map_or(0, |object| object.to_string().len());
        counted.fetch_add(usize::from(text(&changes) < text(&whole)), Ordering::Relaxed);
        for (index, rules) in &settings {
            let verdict =
                |request| text_without_times(&format!("{:?}", decide(request, index, rules, core::protect::judge)));
            assert_eq!(verdict(&changes), verdict(&whole));
        }
    };
    for body in &bodies {
        compare(body.as_bytes());
    }
    let counted = counted.load(Ordering::Relaxed);
    assert!(counted > bodies.len() / 5, "something was left out of {counted} of {} reviews", bodies.len());
    let attempt = |dice: &mut Dice| {
        let [body, other] = [0, 0].map(|_| &bodies[dice.throw(bodies.len())]);
        twisted(body, other, dice)
    };
    let compare = std::panic::AssertUnwindSafe(compare);
    run("edits", attempt, |body: &[u8]| (*compare)(body));
}

/// Texts of manifests as people write them.
const TEXTS: [&str; 4] = [
    include_str!("../../../hack/examples/1.yaml"),
    include_str!("../../../hack/examples/2.yaml"),
    holdfast_testing::KINDS,
    "a: &a [x, x]\nb: &b [*a, *a]\nc: {<<: {d: e}, f: !!binary aGk=}\n--- |\n text\n--- >-\n folded\n\n more\n...\n{\"a\": 1.0e3, 'b': 0x1F, c: 0o7, d: ~}\n",
];

#[test]
fn any_secret_is_checked() {
    let attempt = |dice: &mut Dice| torn(TEXTS[dice.throw(TEXTS.len())].as_bytes().to_vec(), dice);
    run("secrets", attempt, targets::secret);
}
