//! What came of requests for objects of resources that answer late.

use std::time::Duration;

use holdfast_core::{
    api::Adopt,
    key::{NamespacedName, ObjectKey},
};
use tokio::time::Instant;

use crate::per_owner::PerOwner;

/// For how long an answer stands for another one. Somebody may create the object meanwhile, as they may between an answer that
/// is in time and the apply; so not for long, but until the pass that the answer calls for has had its turn.
const RECENT: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::apply) struct Answer {
    /// When it came.
    pub(super) at: Instant,
    /// What was asked for.
    pub(super) adopt: Adopt,
    /// Why the object is not to be taken over; `None` if it is, or does not exist.
    pub(super) refusal: Option<String>,
}

impl Answer {
    pub(super) fn is_recent(&self, now: Instant) -> bool {
        now.duration_since(self.at) < RECENT
    }
}

/// Answers that passes did not wait for, at most one an object that a ManagedResource declares and does not hold.
pub(in crate::apply) type Answers = PerOwner<ObjectKey, Answer>;

impl Answers {
    /// The answer to this question, recent or not.
    pub(super) fn of(&self, mr: &NamespacedName, object: &ObjectKey, adopt: Adopt) -> Option<Answer> {
        self.lock().get(mr)?.get(object).filter(|answer| answer.adopt == adopt).cloned()
    }

    pub(super) fn keep(&self, mr: &NamespacedName, object: ObjectKey, answer: Answer) {
        self.lock().entry(mr.clone()).or_default().insert(object, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_stands_for_the_same_question_and_for_a_while() {
        let answers = Answers::default();
        let (mr, other) = (NamespacedName::new("n", "a"), NamespacedName::new("n", "b"));
        let [object, dropped] = ["x", "y"].map(|name| ObjectKey::new("", "ConfigMap", "n", name));
        let answer = Answer { at: Instant::now(), adopt: Adopt::Never, refusal: None };
        answers.keep(&mr, object.clone(), answer.clone());
        answers.keep(&mr, dropped.clone(), answer.clone());
        for (case, key, adopt, expected) in [
            ("the same", &mr, Adopt::Never, Some(answer.clone())),
            ("another question", &mr, Adopt::IfUnowned, None),
            ("somebody else's", &other, Adopt::Never, None),
        ] {
            assert_eq!(answers.of(key, &object, adopt), expected, "{case}");
        }
        for (after, is_recent) in [(0, true), (9, true), (10, false), (60, false)] {
            assert_eq!(answer.is_recent(answer.at + Duration::from_secs(after)), is_recent, "after {after} s");
        }
        answers.retain(&mr, |key| *key != dropped);
        assert!(answers.of(&mr, &dropped, Adopt::Never).is_none(), "not declared any more");
        answers.drop_one(&mr, &object);
        assert!(answers.lock().is_empty(), "nothing is left of a ManagedResource without answers");
        answers.keep(&mr, object, answer);
        answers.forget(&mr);
        assert!(answers.lock().is_empty());
    }
}
