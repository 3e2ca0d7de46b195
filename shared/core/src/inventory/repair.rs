//! What a write of an object repaired.

use super::drift::{Observed, State};
use crate::{
    api::Scope,
    field_ownership::{ManagedScope, external_fields::Change},
    field_set,
};

/// Why a write was necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Others changed the object.
    Changed,
    /// Others deleted the object.
    Deleted,
    /// Others changed only the ownership record.
    Tidied,
}

impl Cause {
    /// Returns the name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Tidied => "tidied",
        }
    }
}

/// A write that the server has accepted.
#[derive(Clone, Copy, Debug)]
pub struct AcceptedWrite<'a> {
    /// State of the object before the write.
    pub before: State,
    /// Last watch report before the write.
    pub seen: Option<&'a Observed>,
    /// Generation after our last write, for kinds that have one.
    pub written_generation: Option<i64>,
    /// The server's answer, with `managedFields`.
    pub answer: &'a Observed,
    /// Which fields of the object are managed.
    pub scope: &'a ManagedScope,
}

/// What a write repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// What others did.
    pub cause: Cause,
    /// The foreign changes; empty after a foreign deletion.
    pub change: Change,
}

impl AcceptedWrite<'_> {
    /// Returns what the write repaired; `None` if there was no change, or none that concerns us. `change` describes the
    /// foreign changes in a watch report.
    pub fn repaired(&self, change: impl FnOnce(&Observed) -> Change) -> Option<Repaired> {
        let Self { before, seen, answer, .. } = *self;
        // The write changed nothing, so the change did not concern us, such as a foreign annotation.
        if seen.is_some_and(|seen| answer.is_same_as(seen)) {
            return None;
        }
        match before {
            State::Missing => Some(Repaired { cause: Cause::Deleted, change: Change::default() }),
            State::Drifted => {
                let change = seen.map(change).unwrap_or_default();
                let is_nobodys =
                    change == Change::default() && (self.is_untouched() || seen.is_some_and(Observed::has_pause_label));
                (!is_nobodys).then(|| Repaired { cause: self.cause(&change), change })
            }
            State::InSync | State::Outdated | State::Terminating | State::Contended => None,
        }
    }

    /// Whether others may change the object, and the write left our entry unchanged. After several allowed changes in a
    /// row, the answer differs from the watch report although nothing was repaired.
    fn is_untouched(&self) -> bool {
        let is_allowed = self.scope.scope == Scope::Declared || !self.scope.ignored.is_none();
        let own = field_set::own_entry_of(&self.answer.managed_fields);
        let is_same = |seen: &Observed| field_set::own_entry_of(&seen.managed_fields) == own;
        is_allowed && own.is_some() && self.seen.is_some_and(is_same)
    }

    fn cause(&self, change: &Change) -> Cause {
        let generations = (self.written_generation, self.answer.generation);
        let is_content_the_same = matches!(generations, (Some(written), Some(now)) if written == now);
        let is_metadata = change.paths.is_empty() || change.paths.iter().any(|path| path.starts_with("metadata"));
        if is_content_the_same && !is_metadata { Cause::Tidied } else { Cause::Changed }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::names;

    fn own(time: &str) -> Value {
        json!({"manager": names::FIELD_MANAGER, "operation": "Apply", "time": time, "fieldsV1": {}})
    }

    /// An object with these `managedFields`.
    fn object(version: &str, generation: i64, managed_fields: Vec<Value>) -> Observed {
        let has_own_entry = managed_fields.iter().any(|entry| entry["operation"] == "Apply");
        let observed = Observed::sample(version);
        Observed {
            entry: observed.entry.filter(|_| has_own_entry),
            generation: Some(generation),
            managed_fields,
            ..observed
        }
    }

    fn change(paths: &[&str]) -> Change {
        Change { paths: paths.iter().map(|path| (*path).to_owned()).collect(), ..Change::default() }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn what_a_write_repaired() {
        let exact = ManagedScope::default();
        let declared = ManagedScope { scope: Scope::Declared, ..ManagedScope::default() };
        let pause = json!({"manager": names::PAUSE_MANAGER, "operation": "Update", "fieldsV1": {}});
        let (ours, later) = (vec![own("1")], vec![own("2")]);
        let answer = |generation: i64| object("9", generation, vec![own("2")]);
        let seen = |generation: i64, fields: &[Value]| Some(object("8", generation, fields.to_vec()));
        for (case, before, seen, written, answer, scope, paths, expected) in [
            ("deleted", State::Missing, None, Some(1), answer(1), &exact, &[][..], Some(Cause::Deleted)),
            ("changed", State::Drifted, seen(2, &ours), Some(1), answer(3), &exact, &["spec.a"], Some(Cause::Changed)),
            (
                "a label",
                State::Drifted,
                seen(1, &[]),
                Some(1),
                answer(1),
                &exact,
                &["metadata.labels.a"],
                Some(Cause::Changed),
            ),
            (
                "only ownership",
                State::Drifted,
                seen(0, &ours),
                Some(1),
                answer(1),
                &exact,
                &["spec.a"],
                Some(Cause::Tidied),
            ),
            (
                "nobody knows what",
                State::Drifted,
                seen(2, &ours),
                Some(1),
                answer(3),
                &exact,
                &[],
                Some(Cause::Changed),
            ),
            ("unseen", State::Drifted, None, Some(1), answer(3), &exact, &["ignored"], Some(Cause::Changed)),
            ("no concern of ours", State::Drifted, seen(3, &later), Some(1), answer(3), &exact, &["spec.a"], None),
            ("what others may change", State::Drifted, seen(2, &later), Some(1), answer(3), &declared, &[], None),
            (
                "and more than that",
                State::Drifted,
                seen(2, &later),
                Some(1),
                answer(3),
                &declared,
                &["spec.a"],
                Some(Cause::Changed),
            ),
            (
                "the end of a pause",
                State::Drifted,
                seen(2, std::slice::from_ref(&pause)),
                Some(1),
                answer(3),
                &exact,
                &[],
                None,
            ),
            (
                "edited in a pause",
                State::Drifted,
                seen(2, &[pause]),
                Some(1),
                answer(3),
                &exact,
                &["spec.a"],
                Some(Cause::Changed),
            ),
            ("another manifest", State::Outdated, seen(1, &ours), Some(1), answer(2), &exact, &["spec.a"], None),
            ("in sync", State::InSync, None, Some(1), answer(1), &exact, &[], None),
        ] {
            let write =
                AcceptedWrite { before, seen: seen.as_ref(), written_generation: written, answer: &answer, scope };
            let repaired = write.repaired(|_| change(paths));
            assert_eq!(repaired.map(|repaired| repaired.cause), expected, "{case}");
        }
    }
}
