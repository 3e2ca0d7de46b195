//! What a pass writes into the status: the inventory ahead of the work, the outcome after it.

use std::{collections::BTreeSet, sync::Arc};

use holdfast_core::{
    api::{Condition, ManagedResource, ResourceReference, Status},
    inventory::plan::{Duplicate, Plan},
    key::ObjectKey,
    names,
    status::{self, Outcome, Writing},
    validation::managed_resource,
};
use holdfast_runtime::call::CallError;
use tokio::time::Instant;

use super::Reconciler;
use crate::{
    desired::{Loaded, failure_text},
    queue::Next,
    status::{
        events::Reason,
        result::{Failures, Pruned},
    },
    target::client::ApplyError,
};

impl Reconciler {
    /// Writes references of objects that are about to be created before they are, so that no crash leaks one; and says
    /// that something is going on, with `now` as the time of conditions.
    pub(crate) async fn write_ahead(
        &self,
        mr: Arc<ManagedResource>,
        plan: &Plan,
        loaded: &Loaded,
        now: &str,
    ) -> Result<Arc<ManagedResource>, CallError> {
        if is_news(&mr, plan, loaded) { self.announce_work(&mr, plan, now).await } else { Ok(mr) }
    }

    async fn announce_work(
        &self,
        mr: &Arc<ManagedResource>,
        plan: &Plan,
        now: &str,
    ) -> Result<Arc<ManagedResource>, CallError> {
        let mut status = mr.status.as_ref().map(Status::without_inventory).unwrap_or_default();
        status.resources.clone_from(&plan.inventory);
        status::invalidate(&mut status, now);
        self.write_status(mr, &status).await
    }

    /// Says what a pass came to, with `now` as the time of conditions. Returns when the next one is due.
    pub(crate) async fn conclude(
        &self,
        mr: &Arc<ManagedResource>,
        plan: &Plan,
        loaded: &Arc<Loaded>,
        failures: &Failures,
        pruned: &Pruned,
        now: &str,
    ) -> Result<Next, CallError> {
        if self.is_any_passed_over(mr, plan, loaded, failures) {
            return Ok(Next::Backoff);
        }
        let mut failed: Vec<String> = failures.values().map(|failure| failure.text.clone()).collect();
        let (fights, fight_moves) = self.world.fights(loaded.desired.iter().map(|object| &object.key));
        for (position, owner) in &plan.conflicts {
            let Some(object) = loaded.desired.get(*position) else { continue };
            let text = format!("{} is held by ManagedResource {owner}", object.key);
            self.events.publish(mr, Reason::Conflict, &text);
            failed.push(text);
        }
        for duplicate in &loaded.duplicates {
            self.events.publish(mr, Reason::DeclaredTwice, &duplicate_text(duplicate));
        }
        let fights: Vec<String> = fights.into_iter().map(|(object, managers)| fight_text(object, &managers)).collect();
        let remarks = [managed_resource::remarks(mr), loaded.remarks.clone()].concat();
        let went = Went { failed, fights, terminating: self.awaited_ends(plan, loaded) };
        let (outcome, mut notes) = outcome(plan, loaded, went, pruned);
        notes.extend(remarks.iter().cloned());
        notes.extend(self.targets.failing.notes(&loaded.kinds, loaded.heeds_autoscalers()));
        notes.splice(0..0, plan.paused.iter().cloned());
        let mut status = mr.status.as_ref().map(Status::without_inventory).unwrap_or_default();
        status.resources.clone_from(&plan.inventory);
        let dropped: BTreeSet<ObjectKey> = pruned.dropped.iter().map(ResourceReference::object_key).collect();
        status.resources.retain(|reference| dropped.is_empty() || !dropped.contains(&reference.object_key()));
        if pruned.held_back > 0 {
            // It has not begun, so what the next change drops goes with it, in one order.
            status.resources.iter_mut().for_each(|reference| reference.dropped = None);
        }
        self.world.remember(&mut status.resources);
        notes.extend(self.world.kept_by_others(&status.resources).iter().map(kept_text));
        status.secrets_data_checksum = Some(loaded.checksum.clone());
        if outcome.observes_generation() {
            status.observed_generation = mr.metadata.generation;
        }
        if is_news(mr, plan, loaded) {
            // As if it had been said before: so the times of the conditions tell of it.
            status::invalidate(&mut status, now);
        }
        status::conclude(&mut status, &outcome, &notes, now);
        self.announce(mr, &status, plan.held_back, &remarks);
        let key = mr.key();
        let writing =
            if self.world.is_rewrite_due(&key) { Writing::Now } else { status::writing(mr.status.as_ref(), &status) };
        let debt = match writing {
            Writing::Later => self.rhythms.debt(&key, !plan.apply.is_empty(), status.resources.len(), Instant::now()),
            Writing::Now | Writing::Not => None,
        };
        let mut stored = Arc::clone(mr);
        if debt.is_none() {
            if writing != Writing::Not {
                stored = self.write_status(mr, &status).await?;
            }
            self.rhythms.settled(&key);
        }
        if outcome == Outcome::Succeeded && plan.terminating.is_empty() && plan.paused.is_empty() {
            self.steady.set(&stored, loaded);
        }
        if !pruned.dropped.is_empty() {
            self.targets.retain_used();
        }
        self.wake_waiting(&dropped);
        let is_failed = matches!(outcome, Outcome::ApplyFailed(_) | Outcome::ReleaseFailed(_)) || loaded.is_denied;
        if is_failed || !failures.is_empty() || !plan.conflicts.is_empty() {
            return Ok(Next::Backoff);
        }
        let terminating = (!plan.terminating.is_empty()).then_some(self.pending_period);
        let slice = Some(self.rhythms.until_slice(&key, Instant::now()));
        // The slice is always there.
        let next =
            [pruned.retry, terminating, debt, fight_moves, slice].into_iter().flatten().min().unwrap_or_default();
        Ok(Next::After(next))
    }

    /// Whether an object is not as declared although nothing says why: what was known of it has changed since it was planned,
    /// and the next pass knows better. Until then nothing is said.
    fn is_any_passed_over(&self, mr: &ManagedResource, plan: &Plan, loaded: &Loaded, failures: &Failures) -> bool {
        let has_reason = |position: &usize| {
            failures.contains_key(position)
                || plan.terminating.contains(position)
                || plan.contested.contains(position)
                || plan.conflicts.iter().any(|(other, _)| other == position)
        };
        let key = mr.key();
        let unwritten = self.world.unwritten(loaded);
        let mut objects = unwritten.iter().filter(|position| !has_reason(position));
        let is_passed_over = |position: &usize| {
            let object = loaded.desired.get(*position);
            object.is_some_and(|object| !self.world.is_paused(&key, &object.key))
        };
        let Some(position) = objects.find(|position| is_passed_over(position)) else { return false };
        let object = loaded.desired.get(*position).map(|object| object.key.to_string());
        tracing::debug!(managed_resource = %key, object, "not applied yet; looking again");
        true
    }

    /// Objects that are to be written and are being deleted, one text each.
    fn awaited_ends(&self, plan: &Plan, loaded: &Loaded) -> Vec<String> {
        let objects = plan.terminating.iter().filter_map(|position| loaded.desired.get(*position));
        let owed = objects.filter(|object| self.world.is_owed(&object.key));
        owed.map(|object| failure_text(object, &ApplyError::Dying.to_string())).collect()
    }

    /// Objects have become free: whoever waits for them takes them now.
    pub(crate) fn wake_waiting(&self, objects: &BTreeSet<ObjectKey>) {
        for mr in self.world.waiting_for(objects) {
            self.queue.add(mr);
        }
    }

    /// Events for what the conditions now say, if it is new.
    pub(crate) fn announce(&self, mr: &ManagedResource, status: &Status, held_back: usize, remarks: &[String]) {
        let find =
            |conditions: &[Condition]| conditions.iter().find(|condition| condition.type_ == status::APPLIED).cloned();
        let Some(condition) = find(&status.conditions) else { return };
        let before = mr.status.as_ref().and_then(|status| find(&status.conditions));
        if before.is_some_and(|before| before.reason == condition.reason && before.message == condition.message) {
            return;
        }
        if !remarks.is_empty() {
            self.events.publish(mr, Reason::BadSetting, &remarks.join("; "));
        }
        match condition.reason.as_str() {
            "ApplySucceeded" => self.events.publish(mr, Reason::Applied, &condition.message),
            "ApplyFailed" | "ReleaseOfOrphanedResourcesFailed" => {
                self.events.publish(mr, Reason::ApplyFailed, &condition.message);
            }
            "DecodingFailed" | "CannotReadSecret" if held_back > 0 => {
                self.events.publish(mr, Reason::HeldBack, &condition.message);
            }
            _ => {}
        }
    }
}

/// Whether a pass does something that the status does not know of.
fn is_news(mr: &ManagedResource, plan: &Plan, loaded: &Loaded) -> bool {
    let is_known = |before: &Status| {
        let held = &before.resources;
        let mut pairs = held.iter().zip(&plan.inventory);
        held.len() == plan.inventory.len()
            && pairs.all(|(old, new)| old.says_the_same_as(new))
            && before.secrets_data_checksum.as_deref() == Some(&loaded.checksum)
            && !status::is_marked_ignored(before)
            && !status::is_marked_deleting(before)
    };
    !plan.prune.is_empty() || !mr.status.as_ref().is_some_and(is_known)
}

/// What became of declared objects, one text each.
struct Went {
    failed: Vec<String>,
    fights: Vec<String>,
    terminating: Vec<String>,
}

/// Which of the things that went wrong gives the condition its reason; the others are noted.
fn outcome(plan: &Plan, loaded: &Loaded, went: Went, pruned: &Pruned) -> (Outcome, Vec<String>) {
    let Went { failed, fights, terminating } = went;
    let pending = &pruned.pending;
    let mut notes = Vec::new();
    if pruned.held_back > 0 {
        notes.push(format!("pruning waits for success (--prune=on-success); {}", stay(pruned.held_back)));
    }
    notes.extend(loaded.duplicates.iter().map(duplicate_text));
    let outcome = if !loaded.missing.is_empty() {
        notes.extend(loaded.decode_errors.iter().cloned());
        notes.extend(failed);
        Outcome::CannotReadSecret(loaded.missing.iter().map(|text| format!("{text}.")).collect(), plan.held_back)
    } else if !loaded.decode_errors.is_empty() {
        notes.extend(failed);
        Outcome::DecodingFailed(loaded.decode_errors.iter().map(|text| format!("{text}.")).collect(), plan.held_back)
    } else if !pruned.unreleased.is_empty() {
        notes.extend(failed);
        Outcome::ReleaseFailed(pruned.unreleased.clone())
    } else if !failed.is_empty() {
        notes.extend(fights.iter().chain(&terminating).chain(pending).cloned());
        Outcome::ApplyFailed(failed)
    } else if !fights.is_empty() {
        notes.extend(terminating.iter().chain(pending).cloned());
        Outcome::Fight(fights)
    } else if !terminating.is_empty() {
        notes.extend(pending.iter().cloned());
        Outcome::Terminating(terminating)
    } else if !pending.is_empty() {
        Outcome::DeletionPending(pending.clone())
    } else {
        Outcome::Succeeded
    };
    (outcome, notes)
}

fn stay(objects: usize) -> String {
    if objects == 1 { "1 object stays".to_owned() } else { format!("{objects} objects stay") }
}

fn fight_text(object: &ObjectKey, managers: &[String]) -> String {
    let whom = if managers.is_empty() { "somebody".to_owned() } else { managers.join(", ") };
    format!("{object} is changed again and again by {whom}")
}

fn kept_text(object: &ObjectKey) -> String {
    format!("{object} is to be kept, because others have set annotation {} on it", names::ANNOTATION_KEEP_OBJECT)
}

fn duplicate_text(duplicate: &Duplicate) -> String {
    let Duplicate { key, ignored, .. } = duplicate;
    format!(
        "{key} is declared twice; the manifest in Secret {}, key {:?}, document {} is not used",
        ignored.secret, ignored.key, ignored.document
    )
}
