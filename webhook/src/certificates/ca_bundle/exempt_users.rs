//! Exempts our users in another cluster by one match condition. The webhook writes it, and the chart never mentions it, so that
//! upgrades leave it alone.
//!
//! When the cluster gets another role, nobody but the webhook can remove the condition, and whoever it names is never reviewed.
//! So an obsolete condition is removed after ten seconds. If it comes back, each removal waits twice as long: while replicas of
//! another role are replaced, they still write it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::BundleWriter;
use super::configuration::WebhookConfiguration;

/// The match condition that keeps our own writes away from us.
pub(super) const CONDITION: &str = "not-holdfast";
/// The text before and after the list of users.
const AROUND: [&str; 2] = ["!(request.userInfo.username in ", ")"];
/// How long an obsolete condition stays at first: replicas of another role may be about to end.
const FIRST: Duration = Duration::from_secs(10);
/// How long it stays at most, however often it comes back.
const LONGEST: Duration = Duration::from_secs(600);
/// Characters of a foreign expression in texts.
const SHOWN: usize = 200;

/// Who is exempt in a configuration, by user names of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExemptUsers {
    /// These.
    Users(Vec<String>),
    /// Nobody: a condition that another role has written is obsolete.
    Nobody,
    /// The target's configuration decides: the target may be this same cluster.
    ByTarget,
}

/// The condition that a configuration should have now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DesiredExemption<'a> {
    Users(&'a [String]),
    Nobody,
    Unchanged,
}

impl ExemptUsers {
    /// `may_remove`: whether it is time to remove an obsolete condition. If another program writes the bundle, the webhook may
    /// not write.
    pub(super) fn desired(&self, writer: &BundleWriter, may_remove: bool) -> DesiredExemption<'_> {
        match self {
            Self::Users(users) => DesiredExemption::Users(users),
            Self::Nobody if may_remove && !matches!(writer, BundleWriter::External) => DesiredExemption::Nobody,
            Self::Nobody | Self::ByTarget => DesiredExemption::Unchanged,
        }
    }
}

/// The condition for these users. A list written in JSON is a list in CEL.
pub(super) fn expression(users: &[String]) -> String {
    let [before, after] = AROUND;
    format!("{before}{}{after}", json!(users))
}

/// The users that a condition exempts; a foreign expression is quoted.
fn parse_expression(expression: &str) -> Vec<String> {
    let [before, after] = AROUND;
    let list = expression.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    let users = list.and_then(|list| serde_json::from_str(list).ok());
    users.unwrap_or_else(|| {
        vec![format!("whom this leaves out: {}", expression.chars().take(SHOWN).collect::<String>())]
    })
}

/// The users that a configuration exempts by the condition.
pub(super) fn users(found: &impl WebhookConfiguration) -> BTreeSet<String> {
    conditions(found).iter().flat_map(|expression| parse_expression(expression)).collect()
}

/// Whether a configuration has the condition.
pub(super) fn has_condition(found: &impl WebhookConfiguration) -> bool {
    !conditions(found).is_empty()
}

fn conditions(found: &impl WebhookConfiguration) -> Vec<String> {
    let webhooks = found.webhooks();
    let all = webhooks.iter().flat_map(|webhook| webhook.conditions);
    all.filter(|condition| condition.name == CONDITION).map(|condition| condition.expression.clone()).collect()
}

/// When to remove an obsolete condition.
#[derive(Debug)]
pub(super) struct RemovalBackoff {
    pause: Duration,
    due: Option<Instant>,
    removed: Option<Instant>,
}

impl Default for RemovalBackoff {
    fn default() -> Self {
        Self { pause: FIRST, due: None, removed: None }
    }
}

impl RemovalBackoff {
    /// Waits until it is time; for ever if there is nothing to remove.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) if due > Instant::now() => sleep_until(due).await,
            // The next look removes it.
            _ => std::future::pending().await,
        }
    }

    /// Whether to remove the condition now, if there is one.
    pub(super) fn may_remove(&mut self, is_present: bool) -> bool {
        let now = Instant::now();
        if !is_present {
            self.due = None;
            return false;
        }
        if self.removed.is_some_and(|at| now.duration_since(at) > 2 * LONGEST) {
            *self = Self::default();
        }
        now >= *self.due.get_or_insert(now + self.pause)
    }

    /// The condition was removed.
    pub(super) fn removed(&mut self) {
        *self = Self { pause: (self.pause * 2).min(LONGEST), due: None, removed: Some(Instant::now()) };
    }
}

/// The users who were exempt at the last look, for the log.
#[derive(Debug, Default)]
pub(super) struct ExemptionLog(BTreeSet<String>);

impl ExemptionLog {
    /// Logs what has changed. User names are no secrets.
    pub(super) fn record(
        &mut self,
        configuration: &str,
        users: BTreeSet<String>,
        exempt: &ExemptUsers,
        writer: &BundleWriter,
    ) {
        if users == self.0 {
            return;
        }
        let added: Vec<_> = users.difference(&self.0).collect();
        let removed: Vec<_> = self.0.difference(&users).collect();
        let now: Vec<_> = users.iter().collect();
        if let Some(problem) = problem(exempt, writer).filter(|_| !users.is_empty()) {
            tracing::warn!(
                ?added,
                ?removed,
                ?now,
                "{configuration} exempts users by match condition {CONDITION}; {problem}"
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

/// What is wrong with an exemption.
fn problem(exempt: &ExemptUsers, writer: &BundleWriter) -> Option<&'static str> {
    match (exempt, writer) {
        (ExemptUsers::Users(_), _) => None,
        (ExemptUsers::ByTarget, _) => {
            Some("this is right only if the target is this same cluster; remove it otherwise")
        }
        (ExemptUsers::Nobody, BundleWriter::External) => Some("it is obsolete, and we may not write there: remove it"),
        (ExemptUsers::Nobody, _) => Some("it is obsolete, and will be removed soon"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_as_they_were_written() {
        for users in [vec![], vec!["a"], vec!["a", r#"b"c"#, "ü in [x])"]] {
            let users: Vec<String> = users.into_iter().map(str::to_owned).collect();
            assert_eq!(parse_expression(&expression(&users)), users);
        }
        for foreign in ["true", "!(request.userInfo.username in ['a'])"] {
            assert_eq!(parse_expression(foreign), [format!("whom this leaves out: {foreign}")]);
        }
    }

    #[test]
    fn only_a_writer_with_an_obsolete_condition_removes_it() {
        let users = vec!["we".to_owned()];
        for (exempt, writer, may_remove, expected) in [
            (ExemptUsers::Users(users.clone()), BundleWriter::Files, false, DesiredExemption::Users(&users)),
            (ExemptUsers::Nobody, BundleWriter::Files, false, DesiredExemption::Unchanged),
            (ExemptUsers::Nobody, BundleWriter::Files, true, DesiredExemption::Nobody),
            (ExemptUsers::Nobody, BundleWriter::External, true, DesiredExemption::Unchanged),
            (ExemptUsers::ByTarget, BundleWriter::Files, true, DesiredExemption::Unchanged),
        ] {
            assert_eq!(exempt.desired(&writer, may_remove), expected, "{exempt:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_comes_back_is_removed_less_and_less_often() {
        let (mut removal, begin, mut removals) = (RemovalBackoff::default(), Instant::now(), 0_u32);
        // Put back at once, each time, for an hour.
        while begin.elapsed() < Duration::from_secs(3600) {
            if removal.may_remove(true) {
                removal.removed();
                removals += 1;
                if removals == 1 {
                    assert_eq!(begin.elapsed(), FIRST);
                }
            } else {
                removal.due().await;
            }
        }
        assert_eq!(removals, 10);
        assert!(!removal.may_remove(false));
        tokio::time::advance(3 * LONGEST).await;
        assert!(!removal.may_remove(true), "it may be there for a reason");
        tokio::time::advance(FIRST).await;
        assert!(removal.may_remove(true), "after a long time without it the wait is short again");
    }
}
