//! Who is exempt because of us: users of ours in another cluster, named by one match condition that the webhook writes and the
//! chart never mentions, so that upgrades leave it alone.
//!
//! So nobody but the webhook can take it away when the cluster gets another role: it outlives the one who asked for it, and
//! whoever it names is asked about nothing. It goes a little later, and less and less often where somebody puts it back: while
//! replicas are exchanged for those of another role, the former ones still do.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::{Configuration, Keeper};

/// The match condition that keeps our own writes away from us.
pub(super) const CONDITION: &str = "not-holdfast";
/// What is before and behind the list of users.
const AROUND: [&str; 2] = ["!(request.userInfo.username in ", ")"];
/// A condition that nobody asks for stays so long at first: replicas of another role may be about to end.
const FIRST: Duration = Duration::from_secs(10);
/// And at most so long, however often it is put back.
const LONGEST: Duration = Duration::from_secs(600);
/// Characters of an expression that is not ours, in texts.
const SHOWN: usize = 200;

/// Who is to be exempt in a configuration, in the words of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exempt {
    /// These.
    Users(Vec<String>),
    /// Nobody: what another role has left goes.
    Nobody,
    /// That is not said here: the target may be the same cluster, and then its registration says it.
    Elsewhere,
}

/// What is wanted of a configuration now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    Users(&'a [String]),
    Nobody,
    AsItIs,
}

impl Exempt {
    /// `may_remove`: whether it is time to take away what nobody asks for. Where others keep the bundle we may not write.
    pub(super) fn now(&self, keeper: &Keeper, may_remove: bool) -> Wanted<'_> {
        match self {
            Self::Users(users) => Wanted::Users(users),
            Self::Nobody if may_remove && !matches!(keeper, Keeper::Others) => Wanted::Nobody,
            Self::Nobody | Self::Elsewhere => Wanted::AsItIs,
        }
    }
}

/// The condition for these users. A list written in JSON is a list in CEL.
pub(super) fn expression(users: &[String]) -> String {
    let [before, behind] = AROUND;
    format!("{before}{}{behind}", json!(users))
}

/// Whom a condition names; what is not ours is quoted.
fn read(expression: &str) -> Vec<String> {
    let [before, behind] = AROUND;
    let list = expression.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind));
    let users = list.and_then(|list| serde_json::from_str(list).ok());
    users.unwrap_or_else(|| {
        vec![format!("whom this leaves out: {}", expression.chars().take(SHOWN).collect::<String>())]
    })
}

/// Who is exempt because of the condition in a configuration.
pub(super) fn users(found: &impl Configuration) -> BTreeSet<String> {
    conditions(found).iter().flat_map(|expression| read(expression)).collect()
}

/// Whether a configuration has the condition.
pub(super) fn is_said(found: &impl Configuration) -> bool {
    !conditions(found).is_empty()
}

fn conditions(found: &impl Configuration) -> Vec<String> {
    let webhooks = found.webhooks();
    let all = webhooks.iter().flat_map(|webhook| webhook.conditions);
    all.filter(|condition| condition.name == CONDITION).map(|condition| condition.expression.clone()).collect()
}

/// When what nobody asks for is taken away.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
    due: Option<Instant>,
    removed: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: FIRST, due: None, removed: None }
    }
}

impl Pace {
    /// Waits until it is time; for ever where there is nothing to be taken away.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) if due > Instant::now() => sleep_until(due).await,
            // Then the next look that comes anyway does it.
            _ => std::future::pending().await,
        }
    }

    /// Whether it may go now, if it is there.
    pub(super) fn may_remove(&mut self, is_there: bool) -> bool {
        let now = Instant::now();
        if !is_there {
            self.due = None;
            return false;
        }
        if self.removed.is_some_and(|at| now.duration_since(at) > 2 * LONGEST) {
            *self = Self::default();
        }
        now >= *self.due.get_or_insert(now + self.pause)
    }

    /// It was taken away.
    pub(super) fn removed(&mut self) {
        *self = Self { pause: (self.pause * 2).min(LONGEST), due: None, removed: Some(Instant::now()) };
    }
}

/// Who was exempt at the last look, for the log.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeSet<String>);

impl Known {
    /// Says what has changed. User names are no secrets.
    pub(super) fn tell(&mut self, configuration: &str, users: BTreeSet<String>, exempt: &Exempt, keeper: &Keeper) {
        if users == self.0 {
            return;
        }
        let added: Vec<_> = users.difference(&self.0).collect();
        let removed: Vec<_> = self.0.difference(&users).collect();
        let now: Vec<_> = users.iter().collect();
        if let Some(remark) = remark(exempt, keeper).filter(|_| !users.is_empty()) {
            tracing::warn!(
                ?added,
                ?removed,
                ?now,
                "{configuration} exempts users by match condition {CONDITION}; {remark}"
            );
        } else {
            tracing::info!(
                ?added,
                ?removed,
                ?now,
                "{configuration} exempts other users by match condition {CONDITION}"
            );
        }
        self.0 = users;
    }
}

/// What is to be said where somebody is exempt, unless all is as it should be.
fn remark(exempt: &Exempt, keeper: &Keeper) -> Option<&'static str> {
    match (exempt, keeper) {
        (Exempt::Users(_), _) => None,
        (Exempt::Elsewhere, _) => Some("that is right only if the target is this same cluster; remove it otherwise"),
        (Exempt::Nobody, Keeper::Others) => {
            Some("nobody asks for that any more, and we may not write there: remove it")
        }
        (Exempt::Nobody, _) => Some("nobody asks for that any more, and it goes soon"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_exempt_is_read_as_it_was_written() {
        for users in [vec![], vec!["a"], vec!["a", r#"b"c"#, "ü in [x])"]] {
            let users: Vec<String> = users.into_iter().map(str::to_owned).collect();
            assert_eq!(read(&expression(&users)), users);
        }
        for foreign in ["true", "!(request.userInfo.username in ['a'])"] {
            assert_eq!(read(foreign), [format!("whom this leaves out: {foreign}")]);
        }
    }

    #[test]
    fn only_who_may_write_and_is_asked_takes_anything_away() {
        let users = vec!["we".to_owned()];
        for (exempt, keeper, may_remove, expected) in [
            (Exempt::Users(users.clone()), Keeper::Files, false, Wanted::Users(&users)),
            (Exempt::Nobody, Keeper::Files, false, Wanted::AsItIs),
            (Exempt::Nobody, Keeper::Files, true, Wanted::Nobody),
            (Exempt::Nobody, Keeper::Others, true, Wanted::AsItIs),
            (Exempt::Elsewhere, Keeper::Files, true, Wanted::AsItIs),
        ] {
            assert_eq!(exempt.now(&keeper, may_remove), expected, "{exempt:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_fights_without_end_about_what_somebody_puts_back() {
        let (mut pace, begin, mut removals) = (Pace::default(), Instant::now(), 0_u32);
        // Put back at once, each time, for an hour.
        while begin.elapsed() < Duration::from_secs(3600) {
            if pace.may_remove(true) {
                pace.removed();
                removals += 1;
                if removals == 1 {
                    assert_eq!(begin.elapsed(), FIRST);
                }
            } else {
                pace.due().await;
            }
        }
        assert_eq!(removals, 10);
        assert!(!pace.may_remove(false));
        tokio::time::advance(3 * LONGEST).await;
        assert!(!pace.may_remove(true), "it may be there for a reason");
        tokio::time::advance(FIRST).await;
        assert!(pace.may_remove(true), "after a long time without it nobody waits longer than at first");
    }
}
