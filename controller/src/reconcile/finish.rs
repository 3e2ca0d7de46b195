//! What a pass writes into the status: the inventory ahead of the work, the outcome after it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use holdfast_core::{
    api::{ManagedResource, ResourceReference, Status},
    inventory::plan::{self, Conflict, Duplicate, Plan},
    key::ObjectKey,
    names,
    position::Position,
    status::{
        self, Outcome, Writing,
        pass::{Announcement, PassResult},
    },
    validation::managed_resource,
};
use holdfast_runtime::call::CallError;
use tokio::time::Instant;

use super::{Reconciler, announce::now, pass::Pass};
use crate::{
    desired::{DesiredSet, failure_text},
    queue::Next,
    status::{events::Reason, result::Pruned},
    target::error::ApplyError,
};

/// What a pass reports.
struct Report {
    status: Status,
    outcome: Outcome,
    /// Settings and annotations that have no effect.
    warnings: Vec<String>,
    /// Until something changes about a contended object.
    contention: Option<Duration>,
}

impl Reconciler {
    /// Writes references of objects that are about to be created before they are, so that no crash leaks one; and says
    /// that something is going on, with `now` as the time of conditions.
    pub(super) async fn write_ahead(&self, pass: &Pass, now: &str) -> Result<Arc<ManagedResource>, CallError> {
        let Pass { mr, plan, set, .. } = pass;
        if !plan.is_news(mr.status.as_ref(), &set.checksum) {
            return Ok(Arc::clone(mr));
        }
        let mut status = mr.status.as_ref().map(Status::without_inventory).unwrap_or_default();
        status.resources.clone_from(&plan.inventory);
        status::invalidate(&mut status, now);
        self.status.write(mr, &status).await
    }

    /// Says what a pass came to. Returns when the next one is due.
    pub(super) async fn finish(&self, pass: &Pass, pruned: &Pruned) -> Result<Next, CallError> {
        let Pass { mr, set, plan, .. } = pass;
        if self.is_any_passed_over(pass) {
            return Ok(Next::Backoff);
        }
        self.publish_conflicts(pass);
        let report = self.report(pass, pruned);
        self.publish_events(mr, &report.status, &report.outcome, &report.warnings);
        let (stored, status_due) = self.write_report(pass, &report.status).await?;
        if report.outcome == Outcome::Succeeded && plan.terminating.is_empty() && plan.paused.is_empty() {
            self.memory.fast_path.set(&stored, set);
        }
        if !pruned.dropped.is_empty() {
            self.watches.retain_used();
        }
        self.wake_waiting(&pruned.dropped.iter().map(ResourceReference::object_key).collect());
        let is_failed = matches!(report.outcome, Outcome::ApplyFailed(_) | Outcome::ReleaseFailed(_)) || set.is_denied;
        if is_failed || !pass.failures.is_empty() || !plan.conflicts.is_empty() {
            return Ok(Next::Backoff);
        }
        let terminating = (!plan.terminating.is_empty()).then_some(self.policy.pending_period);
        let batch = Some(self.memory.resync.until_batch(&mr.key(), Instant::now()));
        // The batch is always there.
        let next = [pruned.retry, terminating, status_due, report.contention, batch];
        Ok(Next::After(next.into_iter().flatten().min().unwrap_or_default()))
    }

    /// Events for what another ManagedResource holds, and for what is declared twice.
    fn publish_conflicts(&self, pass: &Pass) {
        for text in conflict_texts(&pass.plan, &pass.set) {
            self.status.publish(&pass.mr, Reason::Conflict, &text);
        }
        for duplicate in &pass.set.duplicates {
            self.status.publish(&pass.mr, Reason::DeclaredTwice, &duplicate_text(duplicate));
        }
    }

    /// What the status is to say.
    fn report(&self, pass: &Pass, pruned: &Pruned) -> Report {
        let Pass { mr, set, plan, .. } = pass;
        let now = now();
        let failed = pass.failures.values().map(|failure| failure.text.clone());
        let contended = self.state.contention.among(set.objects.iter().map(|object| &object.key));
        let warnings = [managed_resource::warnings(mr), set.warnings.clone()].concat();
        let result = PassResult {
            missing: set.missing.clone(),
            decode_errors: set.decode_errors.clone(),
            unorphaned: pruned.unorphaned.clone(),
            failed: failed.chain(conflict_texts(plan, set)).collect(),
            contended: contended.objects.iter().map(|(object, managers)| contention_text(object, managers)).collect(),
            terminating: self.pending_terminations(plan, set),
            pending: pruned.pending.clone(),
            duplicates: set.duplicates.iter().map(duplicate_text).collect(),
            withheld: plan.withheld,
            waiting_for_success: pruned.waiting_for_success,
        };
        let (outcome, mut notes) = result.finish();
        notes.extend(warnings.iter().cloned());
        notes.extend(self.watches.context.failing.notes(&set.kinds, set.heeds_autoscalers()));
        notes.splice(0..0, plan.paused.iter().cloned());
        let mut status = mr.status.as_ref().map(Status::without_inventory).unwrap_or_default();
        status.resources = self.inventory_after(plan, pruned);
        notes.extend(self.state.objects.retained_objects(&status.resources).iter().map(keep_text));
        status.secrets_data_checksum = Some(set.checksum.clone());
        status.active_pauses = pass.pauses.pauses.objects();
        if outcome.observes_generation() {
            status.observed_generation = mr.metadata.generation;
        }
        if plan.is_news(mr.status.as_ref(), &set.checksum) {
            // As if it had been said before: so the times of the conditions tell of it.
            status::invalidate(&mut status, &now);
        }
        status::finish(&mut status, &outcome, &notes, &now);
        Report { status, outcome, warnings, contention: contended.next }
    }

    /// What is held from now on.
    fn inventory_after(&self, plan: &Plan, pruned: &Pruned) -> Vec<ResourceReference> {
        let dropped = pruned.dropped.iter().map(ResourceReference::object_key).collect();
        let mut inventory = plan::inventory_after(plan, &dropped, pruned.waiting_for_success == 0);
        self.state.objects.remember(&mut inventory);
        inventory
    }

    /// Writes the status, unless it is the same, or only observations have changed and it is not quiet yet. Returns the
    /// ManagedResource as it is stored then, and the time until the status is due.
    async fn write_report(
        &self,
        pass: &Pass,
        status: &Status,
    ) -> Result<(Arc<ManagedResource>, Option<Duration>), CallError> {
        let Pass { mr, plan, .. } = pass;
        let (key, delay) = (mr.key(), &self.memory.status_delay);
        let writing = if self.state.foreign_crd.is_rewrite_due(&key) {
            Writing::Now
        } else {
            status::writing(mr.status.as_ref(), status)
        };
        if writing == Writing::Later
            && let Some(due) = delay.until_due(&key, !plan.apply.is_empty(), status.resources.len(), Instant::now())
        {
            return Ok((Arc::clone(mr), Some(due)));
        }
        let stored = if writing == Writing::Not { Arc::clone(mr) } else { self.status.write(mr, status).await? };
        delay.reset(&key);
        Ok((stored, None))
    }

    /// Whether an object is not as declared although nothing says why: what was known of it has changed since it was planned,
    /// and the next pass knows better. Until then nothing is said.
    fn is_any_passed_over(&self, pass: &Pass) -> bool {
        let Pass { mr, plan, set, failures, .. } = pass;
        let has_reason = |position: &Position| {
            failures.contains_key(position)
                || plan.terminating.contains(position)
                || plan.contended.contains(position)
                || plan.conflicts.iter().any(|conflict| conflict.position == *position)
        };
        let key = mr.key();
        let unwritten = self.state.objects.unwritten(set);
        let mut objects = unwritten.iter().filter(|position| !has_reason(position));
        let is_passed_over = |position: &Position| {
            let object = position.of(&set.objects);
            object.is_some_and(|object| !self.state.managed_resources.is_paused(&key, &object.key))
        };
        let Some(position) = objects.find(|position| is_passed_over(position)) else { return false };
        let object = position.of(&set.objects).map(|object| object.key.to_string());
        tracing::debug!(managed_resource = %key, object, "not applied yet; looking again");
        true
    }

    /// Objects that are to be written and are being deleted, one text each.
    fn pending_terminations(&self, plan: &Plan, set: &DesiredSet) -> Vec<String> {
        let objects = plan.terminating.iter().filter_map(|position| position.of(&set.objects));
        let due = objects.filter(|object| self.state.objects.is_write_due(&object.key));
        due.map(|object| failure_text(object, &ApplyError::Terminating.to_string())).collect()
    }

    /// Objects have become free: whoever waits for them takes them now.
    pub(super) fn wake_waiting(&self, objects: &BTreeSet<ObjectKey>) {
        for mr in self.state.managed_resources.waiting_for(objects) {
            self.queue.add(mr);
        }
    }

    /// Events for what the condition now says, if it is new.
    pub(super) fn publish_events(&self, mr: &ManagedResource, status: &Status, outcome: &Outcome, warnings: &[String]) {
        let Some(message) = status::new_message(mr.status.as_ref(), status) else { return };
        if !warnings.is_empty() {
            self.status.publish(mr, Reason::BadSetting, &warnings.join("; "));
        }
        let reason = match outcome.announcement() {
            Some(Announcement::Applied) => Reason::Applied,
            Some(Announcement::Failed) => Reason::ApplyFailed,
            Some(Announcement::PruningSuspended) => Reason::HeldBack,
            None => return,
        };
        self.status.publish(mr, reason, message);
    }
}

fn conflict_texts(plan: &Plan, set: &DesiredSet) -> Vec<String> {
    let conflicts = plan.conflicts.iter();
    let text = |Conflict { position, owner }: &Conflict| {
        let object = position.of(&set.objects)?;
        Some(format!("{} is held by ManagedResource {owner}", object.key))
    };
    conflicts.filter_map(text).collect()
}

fn contention_text(object: &ObjectKey, managers: &[String]) -> String {
    let whom = if managers.is_empty() { "somebody".to_owned() } else { managers.join(", ") };
    format!("{object} is changed again and again by {whom}")
}

fn keep_text(object: &ObjectKey) -> String {
    format!("{object} is to be kept, because others have set annotation {} on it", names::ANNOTATION_KEEP_OBJECT)
}

fn duplicate_text(duplicate: &Duplicate) -> String {
    let Duplicate { key, superseded, .. } = duplicate;
    format!(
        "{key} is declared twice; the manifest in Secret {}, key {:?}, document {} is not used",
        superseded.secret, superseded.key, superseded.document
    )
}
