//! Conditions, and the status that a reconcile pass writes. Reasons and messages are the original's.

mod merge;
pub mod pass;

pub use merge::merge;

use crate::{
    api::{Condition, Recorded, Status, StatusPhase},
    text,
};

/// Condition type: all objects are applied.
pub const APPLIED: &str = "ResourcesApplied";
/// Condition type: all objects are healthy.
pub const HEALTHY: &str = "ResourcesHealthy";
/// Condition type: some objects are still rolling out.
pub const PROGRESSING: &str = "ResourcesProgressing";

/// Reason of all conditions of a ManagedResource with the annotation `ignore`.
const IGNORED: &str = "ManagedResourceIgnored";

/// Longest list of errors in a condition message, in bytes. [`list`] cuts longer ones.
const MAX_MESSAGE: usize = 8 * 1024;

/// Most notes in a condition message. The message gives the number of further notes.
const MOST_NOTES: usize = 20;

/// Outcome of a pass, for `ResourcesApplied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All objects are applied and pruned.
    Succeeded,
    /// Some objects could not be applied: one text each.
    ApplyFailed(Vec<String>),
    /// Some documents could not be read: one text each. All others are applied. This many objects are not pruned
    /// meanwhile.
    DecodingFailed(Vec<String>, usize),
    /// Some Secrets could not be read: one text each. This many objects are not pruned meanwhile.
    CannotReadSecret(Vec<String>, usize),
    /// Orphaned objects still carry Holdfast's marks: one text each.
    ReleaseFailed(Vec<String>),
    /// Others change objects again and again: one text each.
    Fight(Vec<String>),
    /// Declared objects are being deleted: one text each. The controller creates them again once they are gone.
    Terminating(Vec<String>),
    /// Objects are still being deleted: one text each.
    DeletionPending(Vec<String>),
}

impl Outcome {
    /// Whether the pass got through applying. If so, the generation counts as observed, as in the original.
    pub fn observes_generation(&self) -> bool {
        matches!(self, Self::Succeeded | Self::DecodingFailed(..) | Self::Fight(_))
    }

    fn condition(&self) -> (&'static str, &'static str, String) {
        match self {
            Self::Succeeded => ("True", "ApplySucceeded", "All resources are applied.".to_owned()),
            Self::ApplyFailed(errors) => ("False", "ApplyFailed", list(errors)),
            Self::DecodingFailed(errors, count) => (
                "False",
                "DecodingFailed",
                format!("Could not decode all new resources: {}{}", list(errors), withheld(*count)),
            ),
            Self::CannotReadSecret(errors, count) => {
                ("False", "CannotReadSecret", format!("{}{}", list(errors), withheld(*count)))
            }
            Self::ReleaseFailed(texts) => (
                "False",
                "ReleaseOfOrphanedResourcesFailed",
                format!("Could not release all orphaned resources: {}", list(texts)),
            ),
            Self::Fight(texts) => {
                ("False", "Fight", format!("{}. Repairs come more rarely until this ends.", list(texts)))
            }
            Self::Terminating(texts) => ("Progressing", "ApplyProgressing", list(texts)),
            Self::DeletionPending(texts) => ("Progressing", "DeletionPending", not_cleaned(texts)),
        }
    }
}

/// The original's words. They include a count even for one object.
fn not_cleaned(pending: &[String]) -> String {
    let one = if pending.len() == 1 { "1 error occurred: " } else { "" };
    format!("Could not clean all old resources: {one}{}", list(pending))
}

fn withheld(objects: usize) -> String {
    match objects {
        0 => String::new(),
        1 => " Pruning is held back meanwhile: 1 object that is not declared any more, or cannot be read, stays."
            .to_owned(),
        n => format!(
            " Pruning is held back meanwhile: {n} objects that are not declared any more, or cannot be read, stay."
        ),
    }
}

/// Returns one text as it is, and several as `n errors occurred: [a, b]`. Cuts the result at [`MAX_MESSAGE`].
fn list(texts: &[String]) -> String {
    let mut message = match texts {
        [] => return "No message given.".to_owned(),
        [one] => one.clone(),
        many => format!("{} errors occurred: [{}]", many.len(), many.join(", ")),
    };
    if message.len() > MAX_MESSAGE {
        message.truncate(text::start(&message, MAX_MESSAGE).len());
        message.push_str(" … (cut)");
    }
    message
}

/// Sets one condition. `lastTransitionTime` changes with the status, `lastUpdateTime` with the reason or the message.
/// Without a change, both stay. All other conditions stay.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: &str,
) {
    let message = if message.is_empty() { "No message given." } else { message };
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        Some(condition) => {
            if condition.status != status {
                status.clone_into(&mut condition.status);
                now.clone_into(&mut condition.last_transition_time);
            }
            if condition.reason != reason || condition.message != message {
                reason.clone_into(&mut condition.reason);
                message.clone_into(&mut condition.message);
                now.clone_into(&mut condition.last_update_time);
            }
        }
        None => conditions.push(Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            last_transition_time: now.to_owned(),
            last_update_time: now.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            codes: Vec::new(),
        }),
    }
}

/// Sets the status at the beginning of a pass that changes something. Earlier results no longer hold, as in the
/// original.
pub fn invalidate(status: &mut Status, now: &str) {
    // Not a state that is read back: a failure stays visible until the pass has another result.
    let retained = status
        .conditions
        .iter()
        .find(|condition| {
            condition.type_ == APPLIED
                && matches!(condition.reason.as_str(), "ApplyFailed" | "DeletionFailed" | "DeletionPending")
        })
        .map(|condition| (condition.reason.clone(), condition.message.clone()));
    let (reason, message) = retained
        .unwrap_or_else(|| ("ApplyProgressing".to_owned(), "The resources are currently being reconciled.".to_owned()));
    status.phase = None;
    let conditions = &mut status.conditions;
    set_condition(conditions, APPLIED, "Progressing", &reason, &message, now);
    checks_pending(conditions, now);
}

fn checks_pending(conditions: &mut Vec<Condition>, now: &str) {
    let healthy = "The health checks have not yet been executed for the current set of resources.";
    let progressing = "Checks have not yet been executed for the current set of resources.";
    set_condition(conditions, HEALTHY, "Unknown", "ChecksPending", healthy, now);
    set_condition(conditions, PROGRESSING, "Unknown", "ChecksPending", progressing, now);
}

/// Sets the status at the end of a pass, and appends `notes` to the message.
pub fn finish(status: &mut Status, outcome: &Outcome, notes: &[String], now: &str) {
    let (state, reason, mut message) = outcome.condition();
    if !notes.is_empty() {
        let more = notes.len().saturating_sub(MOST_NOTES);
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        let named: Vec<&str> = notes.iter().take(MOST_NOTES).map(String::as_str).collect();
        message = format!("{message} Note: {}{more}.", named.join("; "));
    }
    set_condition(&mut status.conditions, APPLIED, state, reason, &message, now);
    // A status of a release that knew no `phase` may still say so, although it does not hold any more.
    let is_over = |condition: &Condition| [IGNORED, "DeletionPending"].contains(&condition.reason.as_str());
    let mut healthy = status.conditions.iter().filter(|condition| condition.type_ == HEALTHY);
    if healthy.next().is_none_or(is_over) {
        checks_pending(&mut status.conditions, now);
    }
}

/// Returns the message of `ResourcesApplied` if it differs from the one in `old`.
pub fn new_message<'a>(old: Option<&Status>, new: &'a Status) -> Option<&'a str> {
    let applied = |status: &'a Status| status.conditions.iter().find(|condition| condition.type_ == APPLIED);
    let condition = applied(new)?;
    let before = old.and_then(|old| old.conditions.iter().find(|condition| condition.type_ == APPLIED));
    let is_same = before.is_some_and(|old| old.reason == condition.reason && old.message == condition.message);
    (!is_same).then_some(condition.message.as_str())
}

/// Whether and when the controller writes a new status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// No change is worth a write.
    Not,
    /// Only observations of objects have changed. Write when it is quiet.
    Later,
    /// At once.
    Now,
}

/// Decides whether `new` replaces `old` in the API. A burst of repairs becomes one write. For kinds without a
/// generation, the resource version does not count as a change, since foreign annotations move it, too.
pub fn writing(old: Option<&Status>, new: &Status) -> Writing {
    let Some(old) = old else { return Writing::Now };
    let is_same = old.conditions == new.conditions
        && old.observed_generation == new.observed_generation
        && old.secrets_data_checksum == new.secrets_data_checksum
        && old.phase == new.phase
        && old.active_pauses == new.active_pauses
        && old.resources.len() == new.resources.len();
    let mut pairs = old.resources.iter().zip(&new.resources);
    if !is_same || !pairs.all(|(old, new)| old.says_the_same_as(new)) {
        return Writing::Now;
    }
    let has_moved = |old: &Option<Recorded>, new: &Option<Recorded>| match (old, new) {
        (Some(old), Some(new)) => !old.differs_at_most_in_resource_version(new),
        (old, new) => old != new,
    };
    let mut pairs = old.resources.iter().zip(&new.resources);
    if pairs.any(|(old, new)| has_moved(&old.state, &new.state)) { Writing::Later } else { Writing::Not }
}

/// Sets the three conditions of an ignored ManagedResource.
pub fn ignored(status: &mut Status, now: &str) {
    (status.phase, status.active_pauses) = (Some(StatusPhase::Ignored), Vec::new());
    let message = "ManagedResource is marked to be ignored.";
    for (type_, state) in [(APPLIED, "True"), (HEALTHY, "True"), (PROGRESSING, "False")] {
        set_condition(&mut status.conditions, type_, state, IGNORED, message, now);
    }
}

/// Sets the conditions of a ManagedResource that is being deleted. `pending` names the objects that still exist.
pub fn deleting(status: &mut Status, pending: &[String], keep_objects: bool, now: &str) {
    (status.phase, status.active_pauses) = (Some(StatusPhase::Deleting), Vec::new());
    let message = "The resources are currently being deleted.";
    set_condition(&mut status.conditions, HEALTHY, "False", "DeletionPending", message, now);
    set_condition(&mut status.conditions, PROGRESSING, "True", "DeletionPending", message, now);
    if keep_objects {
        return;
    }
    let text = if pending.is_empty() { message.to_owned() } else { not_cleaned(pending) };
    set_condition(&mut status.conditions, APPLIED, "Progressing", "DeletionPending", &text, now);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        api::{ResourceReference, Version},
        digest::Digest,
    };

    fn applied(status: &Status) -> &Condition {
        status.conditions.iter().find(|condition| condition.type_ == APPLIED).unwrap()
    }

    #[test]
    fn times_move_only_with_what_they_stand_for() {
        let mut status = Status::default();
        finish(&mut status, &Outcome::Succeeded, &[], "t1");
        let first = status.clone();
        finish(&mut status, &Outcome::Succeeded, &[], "t2");
        assert_eq!(status, first, "nothing changed, nothing moves");
        finish(&mut status, &Outcome::ApplyFailed(vec!["x".into()]), &[], "t3");
        assert_eq!(
            (applied(&status).last_transition_time.as_str(), applied(&status).last_update_time.as_str()),
            ("t3", "t3")
        );
        finish(&mut status, &Outcome::ApplyFailed(vec!["y".into()]), &[], "t4");
        assert_eq!(
            (applied(&status).last_transition_time.as_str(), applied(&status).last_update_time.as_str()),
            ("t3", "t4")
        );
        assert_eq!(status.conditions.len(), 3);
    }

    #[test]
    fn a_failure_stays_readable_while_the_next_pass_runs() {
        let mut status = Status::default();
        finish(&mut status, &Outcome::ApplyFailed(vec!["no room".into()]), &[], "t1");
        invalidate(&mut status, "t2");
        assert_eq!((applied(&status).status.as_str(), applied(&status).message.as_str()), ("Progressing", "no room"));
        finish(&mut status, &Outcome::Succeeded, &[], "t3");
        invalidate(&mut status, "t4");
        assert_eq!(applied(&status).reason, "ApplyProgressing");
    }

    #[test]
    fn conditions_of_an_ignored_one_do_not_outlast_that() {
        for phase in [Some(StatusPhase::Ignored), None] {
            let mut status = Status::default();
            ignored(&mut status, "t1");
            // A release before 0.2 wrote no phase.
            status.phase = phase;
            finish(&mut status, &Outcome::Succeeded, &[], "t2");
            let healthy = status.conditions.iter().find(|condition| condition.type_ == HEALTHY).unwrap();
            assert_eq!((healthy.status.as_str(), healthy.reason.as_str()), ("Unknown", "ChecksPending"));
        }
        let mut status = Status::default();
        set_condition(&mut status.conditions, HEALTHY, "False", "DeploymentUnhealthy", "", "t1");
        let before = status.conditions.clone();
        finish(&mut status, &Outcome::Succeeded, &[], "t2");
        assert!(status.conditions.contains(&before[0]), "what somebody found out stays");
    }

    #[test]
    fn outcomes_read_well() {
        for (outcome, expected) in [
            (Outcome::Succeeded, "All resources are applied."),
            (Outcome::ApplyFailed(vec!["a".into(), "b".into()]), "2 errors occurred: [a, b]"),
            (Outcome::Terminating(vec!["a".into()]), "a"),
            (
                Outcome::DecodingFailed(vec!["e.".into()], 2),
                "Could not decode all new resources: e. Pruning is held back meanwhile: 2 objects that are not declared any more, or cannot be read, stay.",
            ),
        ] {
            assert_eq!(outcome.condition().2, expected);
        }
        assert_eq!(
            Outcome::Terminating(vec!["a".into()]).condition().0,
            "Progressing",
            "neither a failure nor a success"
        );
        assert!(!Outcome::Terminating(vec!["a".into()]).observes_generation());
        assert!(list(&vec!["ü".repeat(3000); 5]).len() < MAX_MESSAGE + 20);
    }

    #[test]
    fn a_message_is_new_if_reason_or_text_have_changed() {
        let status = |outcome: &Outcome, notes: &[String]| {
            let mut status = Status::default();
            finish(&mut status, outcome, notes, "t1");
            status
        };
        let failed = |text: &str| status(&Outcome::ApplyFailed(vec![text.to_owned()]), &[]);
        let done = status(&Outcome::Succeeded, &[]);
        let noted = status(&Outcome::Succeeded, &["n".to_owned()]);
        for (old, new, expected) in [
            (None, &done, Some("All resources are applied.")),
            (Some(&done), &done, None),
            (Some(&done), &noted, Some("All resources are applied. Note: n.")),
            (Some(&failed("x")), &failed("x"), None),
            (Some(&failed("x")), &failed("y"), Some("y")),
            (Some(&failed("x")), &done, Some("All resources are applied.")),
            (Some(&done), &Status::default(), None),
        ] {
            assert_eq!(new_message(old, new), expected);
        }
    }

    #[test]
    fn repairs_are_written_down_when_it_is_quiet() {
        let digest = Digest::default();
        let state =
            Recorded { uid: "u".into(), version: Version::Resource("1".into()), manifest: digest, entry: digest };
        let count = ResourceReference { state: Some(state), ..ResourceReference::default() };
        let mut old = Status { resources: vec![count], ..Status::default() };
        finish(&mut old, &Outcome::Succeeded, &[], "t1");
        let with = |change: fn(&mut ResourceReference)| {
            let mut new = old.clone();
            change(&mut new.resources[0]);
            new
        };
        let moved = with(|reference| reference.state.as_mut().unwrap().version = Version::Resource("2".into()));
        let repaired = with(|reference| reference.state.as_mut().unwrap().uid = "v".into());
        let relabelled = with(|reference| reference.labels = BTreeMap::from([("a".into(), "b".into())]).into());
        let failed = with(|reference| reference.pending = true);
        for (case, new, expected) in [
            ("the same", &old, Writing::Not),
            ("only a resource version", &moved, Writing::Not),
            ("repaired", &repaired, Writing::Later),
            ("another manifest", &relabelled, Writing::Now),
            ("not applied yet", &failed, Writing::Now),
        ] {
            assert_eq!(writing(Some(&old), new), expected, "{case}");
        }
        assert_eq!(writing(None, &old), Writing::Now);
    }
}
