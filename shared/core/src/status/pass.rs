//! The result of a pass: which finding becomes the reason of `ResourcesApplied`, and what is announced.

use super::Outcome;

/// The findings of a pass, one text each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassResult {
    /// Unreadable Secrets.
    pub missing: Vec<String>,
    /// Unreadable documents.
    pub decode_errors: Vec<String>,
    /// Orphaned objects that still carry Holdfast's marks.
    pub unorphaned: Vec<String>,
    /// Objects that differ from their manifests.
    pub failed: Vec<String>,
    /// Objects that others change again and again.
    pub contended: Vec<String>,
    /// Declared objects that are being deleted.
    pub terminating: Vec<String>,
    /// Undeclared objects that still exist.
    pub pending: Vec<String>,
    /// Objects that are declared twice.
    pub duplicates: Vec<String>,
    /// Number of objects that stay because something is unreadable.
    pub withheld: usize,
    /// Number of objects that stay until all others are applied.
    pub waiting_for_success: usize,
}

impl PassResult {
    /// Returns the outcome, and the other findings as notes.
    pub fn finish(self) -> (Outcome, Vec<String>) {
        let Self { missing, decode_errors, unorphaned, failed, contended, terminating, pending, .. } = self;
        let mut notes = Vec::new();
        if self.waiting_for_success > 0 {
            let stay = stay(self.waiting_for_success);
            notes.push(format!("pruning waits for success (--prune=on-success); {stay}"));
        }
        notes.extend(self.duplicates);
        let sentences = |texts: Vec<String>| texts.into_iter().map(|text| format!("{text}.")).collect();
        let outcome = if !missing.is_empty() {
            notes.extend(decode_errors.into_iter().chain(failed));
            Outcome::CannotReadSecret(sentences(missing), self.withheld)
        } else if !decode_errors.is_empty() {
            notes.extend(failed);
            Outcome::DecodingFailed(sentences(decode_errors), self.withheld)
        } else if !unorphaned.is_empty() {
            notes.extend(failed);
            Outcome::ReleaseFailed(unorphaned)
        } else if !failed.is_empty() {
            notes.extend(contended.into_iter().chain(terminating).chain(pending));
            Outcome::ApplyFailed(failed)
        } else if !contended.is_empty() {
            notes.extend(terminating.into_iter().chain(pending));
            Outcome::Fight(contended)
        } else if !terminating.is_empty() {
            notes.extend(pending);
            Outcome::Terminating(terminating)
        } else if !pending.is_empty() {
            Outcome::DeletionPending(pending)
        } else {
            Outcome::Succeeded
        };
        (outcome, notes)
    }
}

fn stay(objects: usize) -> String {
    if objects == 1 { "1 object stays".to_owned() } else { format!("{objects} objects stay") }
}

/// What an Event tells the owner of a ManagedResource about an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// All objects are applied.
    Applied,
    /// Some objects are not applied.
    Failed,
    /// Pruning is suspended.
    PruningSuspended,
}

impl Outcome {
    /// Returns the announcement of a new outcome. Returns `None` for outcomes that are soon over or announced per
    /// object.
    pub fn announcement(&self) -> Option<Announcement> {
        match self {
            Self::Succeeded => Some(Announcement::Applied),
            Self::ApplyFailed(_) | Self::ReleaseFailed(_) => Some(Announcement::Failed),
            Self::DecodingFailed(_, withheld) | Self::CannotReadSecret(_, withheld) => {
                (*withheld > 0).then_some(Announcement::PruningSuspended)
            }
            Self::Fight(_) | Self::Terminating(_) | Self::DeletionPending(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills in every finding from number `first` on. Each text is the letter of its finding.
    fn result(first: usize) -> PassResult {
        let text = |place: usize, text: &str| if place < first { vec![] } else { vec![text.to_owned()] };
        PassResult {
            missing: text(0, "m"),
            decode_errors: text(1, "d"),
            unorphaned: text(2, "u"),
            failed: text(3, "f"),
            contended: text(4, "c"),
            terminating: text(5, "t"),
            pending: text(6, "p"),
            withheld: 2,
            ..PassResult::default()
        }
    }

    #[test]
    fn the_worst_finding_gives_the_reason_and_the_others_are_noted() {
        let texts = |text: &str| vec![text.to_owned()];
        for (first, outcome, notes, announcement) in [
            (0, Outcome::CannotReadSecret(texts("m."), 2), "d f", Some(Announcement::PruningSuspended)),
            (1, Outcome::DecodingFailed(texts("d."), 2), "f", Some(Announcement::PruningSuspended)),
            (2, Outcome::ReleaseFailed(texts("u")), "f", Some(Announcement::Failed)),
            (3, Outcome::ApplyFailed(texts("f")), "c t p", Some(Announcement::Failed)),
            (4, Outcome::Fight(texts("c")), "t p", None),
            (5, Outcome::Terminating(texts("t")), "p", None),
            (6, Outcome::DeletionPending(texts("p")), "", None),
            (7, Outcome::Succeeded, "", Some(Announcement::Applied)),
        ] {
            assert_eq!(outcome.announcement(), announcement, "{outcome:?}");
            let (found, noted) = result(first).finish();
            assert_eq!((found, noted.join(" ").as_str()), (outcome, notes));
        }
        let nothing_stays = Outcome::DecodingFailed(texts("d."), 0);
        assert_eq!(nothing_stays.announcement(), None);
    }

    #[test]
    fn what_stays_and_what_is_declared_twice_is_noted_first() {
        let result = PassResult {
            duplicates: vec!["twice".to_owned()],
            waiting_for_success: 1,
            failed: vec!["f".to_owned()],
            pending: vec!["p".to_owned()],
            ..PassResult::default()
        };
        let waits = "pruning waits for success (--prune=on-success); 1 object stays";
        assert_eq!(result.finish().1, [waits, "twice", "p"]);
    }
}
