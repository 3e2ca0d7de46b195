//! What came of looking at objects of resources that answer late.

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
pub(crate) struct Look {
    /// When it came.
    pub(super) at: Instant,
    /// What was asked for.
    pub(super) adopt: Adopt,
    /// Why the object is not to be taken over; `None` if it is, or does not exist.
    pub(super) refusal: Option<String>,
}

impl Look {
    pub(super) fn is_recent(&self, now: Instant) -> bool {
        now.duration_since(self.at) < RECENT
    }
}

/// Answers that passes did not wait for, at most one an object that a ManagedResource declares and does not hold.
pub(crate) type Looks = PerOwner<ObjectKey, Look>;

impl Looks {
    /// The answer to this question, recent or not.
    pub(super) fn of(&self, mr: &NamespacedName, object: &ObjectKey, adopt: Adopt) -> Option<Look> {
        self.lock().get(mr)?.get(object).filter(|look| look.adopt == adopt).cloned()
    }

    pub(super) fn keep(&self, mr: &NamespacedName, object: ObjectKey, look: Look) {
        self.lock().entry(mr.clone()).or_default().insert(object, look);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_stands_for_the_same_question_and_for_a_while() {
        let looks = Looks::default();
        let (mr, other) = (NamespacedName::new("n", "a"), NamespacedName::new("n", "b"));
        let [object, dropped] = ["x", "y"].map(|name| ObjectKey::new("", "ConfigMap", "n", name));
        let look = Look { at: Instant::now(), adopt: Adopt::Never, refusal: None };
        looks.keep(&mr, object.clone(), look.clone());
        looks.keep(&mr, dropped.clone(), look.clone());
        for (case, key, adopt, expected) in [
            ("the same", &mr, Adopt::Never, Some(look.clone())),
            ("another question", &mr, Adopt::IfUnowned, None),
            ("somebody else's", &other, Adopt::Never, None),
        ] {
            assert_eq!(looks.of(key, &object, adopt), expected, "{case}");
        }
        for (after, is_recent) in [(0, true), (9, true), (10, false), (60, false)] {
            assert_eq!(look.is_recent(look.at + Duration::from_secs(after)), is_recent, "after {after} s");
        }
        looks.retain(&mr, |key| *key != dropped);
        assert!(looks.of(&mr, &dropped, Adopt::Never).is_none(), "not declared any more");
        looks.drop_one(&mr, &object);
        assert!(looks.lock().is_empty(), "nothing is left of a ManagedResource without answers");
        looks.keep(&mr, object, look);
        looks.forget(&mr);
        assert!(looks.lock().is_empty());
    }
}
