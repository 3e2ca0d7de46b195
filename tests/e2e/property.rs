//! For edits of content in the manifest's version: the webhook refuses one if, and only if, the controller would undo it.
//!
//! Random edits of real objects are first tried as alice, whom the webhook judges, without being stored; then they are done in
//! the name of somebody exempt. What was refused has to be undone by the watches; what passed has to outlive a resync. In mode
//! Revert alice's edit leaves the object as it was.
//!
//! `HOLDFAST_PROPERTY_SEED` and `HOLDFAST_PROPERTY_SECONDS` make it another one, or a longer one.
mod stage;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use holdfast_testing::Dice;
use holdfast_testing::edits::{self, Edit, Form};
use serde_json::Value;

use stage::{Answer, Stage, Target};

/// The same in each run of all tests.
const SEED: u64 = 11;
/// In all; a round that has begun is brought to its end.
const SECONDS: u64 = 60;
/// Edits of one object: more repairs of it in a minute would be taken for a fight, and come later.
const ROUNDS: usize = 4;
/// Edits at a time.
const ABREAST: usize = 6;

/// Refused although it stays, and why that is right: (kind, path of the edit, reason). Besides, in Declared scope what others add
/// stays, and can make the manifest invalid beside it, such as a second port of the same name: the condition says so then.
const EXCUSED: [(&str, &str, &str); 2] = [
    ("Service", "/spec/ports", "a Service keeps the node ports it has where a manifest names none, whoever chose them"),
    (
        "StatefulSet",
        "/spec/updateStrategy/rollingUpdate",
        "a default that nobody owns comes back only if the server sets it again, which it does not here",
    ),
];

/// An edit that was stored.
struct Done {
    target: Target,
    edit: Edit,
    is_refused: bool,
    before: Value,
    stored: Value,
}

impl Done {
    fn describe(&self, what: &str, now: &Value) -> String {
        let paths = |from: &Value, to: &Value| {
            let all = stage::differences(from, to);
            if all.is_empty() { "nothing".to_owned() } else { all.join(" ") }
        };
        format!(
            "{} {} ({}): {what}\n  edit: {:?} {}\n  changed: {}\n  now against stored: {}",
            self.target.kind,
            self.target.name,
            self.target.mr,
            self.edit.form,
            self.edit.body,
            paths(&self.before, &self.stored),
            paths(&self.stored, now),
        )
    }

    fn is_excused(&self) -> bool {
        let changed = stage::differences(&self.before, &self.stored);
        EXCUSED
            .iter()
            .any(|(kind, path, _)| self.target.kind == *kind && changed.iter().all(|changed| changed.starts_with(path)))
    }
}

#[derive(Default, Debug)]
struct Tally {
    refused: usize,
    passed: usize,
    reverted: usize,
    invalid: usize,
    without_effect: usize,
    forms: BTreeMap<Form, usize>,
}

fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok().filter(|text| !text.is_empty());
    given.map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{name}: {error}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_refused_if_and_only_if_it_would_be_undone() {
    let begin = Instant::now();
    let seed = setting("HOLDFAST_PROPERTY_SEED", SEED);
    let time = Duration::from_secs(setting("HOLDFAST_PROPERTY_SECONDS", SECONDS));
    eprintln!("HOLDFAST_PROPERTY_SEED={seed} HOLDFAST_PROPERTY_SECONDS={}", time.as_secs());
    let stage = Stage::set().await;
    let (mut dice, mut tally, mut wrong) = (Dice::new(seed), Tally::default(), Vec::new());
    let mut generation = 0;
    while generation == 0 || begin.elapsed() < time {
        let targets = stage.declare_generation(generation).await;
        for _ in 0..ROUNDS {
            let edits = targets.iter().map(|target| (target, Dice::new(seed ^ dice.throw(usize::MAX) as u64)));
            let done = futures::stream::iter(edits).map(|(target, dice)| attempt(&stage, target, dice));
            let done: Vec<Outcome> = done.buffered(ABREAST).collect().await;
            let mut stored = Vec::new();
            for outcome in done {
                count(&mut tally, &outcome);
                match outcome {
                    Outcome::Stored(done) => stored.push(*done),
                    Outcome::Wrong(text) => wrong.push(text),
                    _ => {}
                }
            }
            wrong.extend(settled(&stage, stored).await);
            if begin.elapsed() > time {
                break;
            }
        }
        stage.forget(generation).await;
        generation += 1;
    }
    eprintln!("{tally:?} in {generation} generations, {:.0} s", begin.elapsed().as_secs_f64());
    assert!(wrong.is_empty(), "seed {seed}: {} disagreements\n{}", wrong.len(), wrong.join("\n"));
    // A busy machine may be done with no more than one round.
    assert!(tally.refused > 5 && tally.passed > 0 && tally.reverted > 0, "too few to say anything: {tally:?}");
}

enum Outcome {
    /// The server takes it for invalid.
    Invalid,
    /// Nothing of the content changed.
    WithoutEffect,
    Reverted,
    Stored(Box<Done>),
    Wrong(String),
}

fn count(tally: &mut Tally, outcome: &Outcome) {
    match outcome {
        Outcome::Invalid => tally.invalid += 1,
        Outcome::WithoutEffect => tally.without_effect += 1,
        Outcome::Reverted => tally.reverted += 1,
        Outcome::Stored(done) if done.is_refused => tally.refused += 1,
        Outcome::Stored(_) => tally.passed += 1,
        Outcome::Wrong(_) => {}
    }
    if let Outcome::Stored(done) = outcome {
        *tally.forms.entry(done.edit.form).or_default() += 1;
    }
}

/// Tries an edit, and does it.
async fn attempt(stage: &Stage, target: &Target, mut dice: Dice) -> Outcome {
    let before = stage.get(target).await;
    let more: Vec<(&str, Value)> = target.more.iter().map(|(place, value)| (place.as_str(), value.clone())).collect();
    let edit = edits::edit(&before, &more, target.is_custom, &mut dice);
    if target.is_reverted() {
        return reverted(stage, target, &edit, &before).await;
    }
    let is_refused = match stage.edit_as_alice(target, &edit, true).await {
        Answer::Stored(_) => false,
        Answer::Refused(_) => true,
        Answer::Invalid => return Outcome::Invalid,
    };
    let stored = match stage.edit_exempt(target, &edit, false).await {
        Answer::Stored(stored) => edits::content(&stored),
        Answer::Invalid => return Outcome::Invalid,
        Answer::Refused(why) => return Outcome::Wrong(format!("somebody exempt was refused: {why}")),
    };
    let done = Done { target: target.clone(), edit, is_refused, before: edits::content(&before), stored };
    match (done.stored == done.before, is_refused) {
        (true, false) => Outcome::WithoutEffect,
        (true, true) => Outcome::Wrong(done.describe("refused although nothing changes", &done.stored)),
        (false, _) => Outcome::Stored(Box::new(done)),
    }
}

/// An edit of an object in mode Revert. One that changes no content may leave who it was from: an apply that repeats what
/// is there is no offence, and what it owns is tidied up later.
async fn reverted(stage: &Stage, target: &Target, edit: &Edit, before: &Value) -> Outcome {
    let reported = |what: &str| {
        Outcome::Wrong(format!("{} {}: {what}\n  edit: {:?} {}", target.kind, target.name, edit.form, edit.body))
    };
    let Answer::Stored(desired) = stage.edit_exempt(target, edit, true).await else { return Outcome::Invalid };
    match stage.edit_as_alice(target, edit, false).await {
        Answer::Invalid => return Outcome::Invalid,
        Answer::Refused(why) => return reported(&format!("refused in mode Revert: {why}")),
        Answer::Stored(_) => {}
    }
    let after = stage.get(target).await;
    if edits::content(&desired) == edits::content(before) {
        let is_same = edits::content(&after) == edits::content(before);
        return if is_same { Outcome::WithoutEffect } else { reported("something else was changed") };
    }
    let [was, is] = [before, &after].map(stage::apart_from_status);
    let changed = stage::differences(&was, &is).join(" ");
    if was == is { Outcome::Reverted } else { reported(&format!("not put back: {changed}")) }
}

/// Waits until everything is settled, and says what is not as it was decided.
async fn settled(stage: &Stage, stored: Vec<Done>) -> Vec<String> {
    let mut wrong = Vec::new();
    for done in stored.iter().filter(|done| done.is_refused) {
        let Some(now) = stage.still(&done.target, &done.stored).await else { continue };
        if !done.is_excused() && !stage.is_invalid(&done.target).await {
            wrong.push(done.describe("refused, but not undone", &now));
        }
        stage.put_back(&done.target, &done.before).await;
    }
    stage.resync().await;
    for done in stored.iter().filter(|done| !done.is_refused) {
        let now = edits::content(&stage.get(&done.target).await);
        if now == done.stored {
            continue;
        }
        // Where nobody answered in time, the API server let it through: that shows when it is asked again.
        match stage.edit_as_alice(&done.target, &done.edit, true).await {
            Answer::Refused(_) => eprintln!("{}", done.describe("passed without a decision, and is undone", &now)),
            _ => wrong.push(done.describe("passed, but is undone", &now)),
        }
    }
    wrong
}
