//! Break-glass: while objects are paused, nothing is written to them but one label; what was changed meanwhile is put right
//! when that ends.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use holdfast_core::{
    api::{ManagedResource, Status, StatusPhase},
    key::NamespacedName,
    pause::{self, ALL_OBJECTS, EndedPauses, Pauses},
    status,
};
use holdfast_runtime::call::CallError;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Reconciler, announce::now};
use crate::{queue::Next, status::events::Reason};

/// Objects of the pauses that were active when a ManagedResource was looked at last.
#[derive(Default)]
pub(super) struct SeenPauses(Mutex<BTreeMap<NamespacedName, Vec<String>>>);

impl SeenPauses {
    /// Notes what is active now; returns what was when it was looked at last, if it was.
    fn replace(&self, mr: &NamespacedName, objects: Vec<String>) -> Option<Vec<String>> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(mr.clone(), objects)
    }

    /// The ManagedResource is gone.
    pub(super) fn forget(&self, mr: &NamespacedName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(mr);
    }
}

/// The pauses of a ManagedResource in one pass.
#[derive(Default)]
pub(super) struct ActivePauses {
    /// Nothing is written to their objects.
    pub(super) pauses: Pauses,
    /// Others have ended, and what was changed meanwhile is to be put right.
    pub(super) is_any_over: bool,
}

impl ActivePauses {
    /// Whether the fast path will not do.
    pub(super) fn need_a_pass(&self) -> bool {
        self.is_any_over || !self.pauses.is_empty()
    }
}

/// Objects of the pauses that a status speaks of.
fn reported_pauses(status: &Status) -> Vec<String> {
    if status.phase == Some(StatusPhase::Ignored) { vec![ALL_OBJECTS.to_owned()] } else { status.active_pauses.clone() }
}

impl Reconciler {
    /// The pauses that are active now. Sees to it that the next end is not missed, and tells of those that were.
    pub(super) fn active_pauses(&self, mr: &ManagedResource) -> ActivePauses {
        let (key, now) = (mr.key(), Timestamp::now());
        let pauses = if mr.pauses().is_empty() { Pauses::default() } else { Pauses::of(mr).active(now) };
        self.queue.wake(&key, pauses.next_look(now).map(|wait| Instant::now() + wait));
        let active = pauses.objects();
        let reported = mr.status.as_ref().map(reported_pauses).unwrap_or_default();
        let seen = self.memory.pauses.replace(&key, active.clone());
        let EndedPauses { is_any_reported, news } = pause::ended(&active, reported, seen);
        if !news.is_empty() {
            let objects = news.join(", ");
            tracing::info!(managed_resource = %key, objects, "a pause is over");
            let note = format!("The pause of {objects} is over: what others changed meanwhile is put right");
            self.status.publish(mr, Reason::PauseEnded, &note);
        }
        ActivePauses { pauses, is_any_over: is_any_reported }
    }

    /// A ManagedResource with the annotation `ignore`.
    pub(super) async fn ignore(&self, mr: &Arc<ManagedResource>) -> Result<Next, CallError> {
        let mut status = mr.status.clone().unwrap_or_default();
        status::ignored(&mut status, &now());
        let mr = self.status.write(mr, &status).await?;
        self.memory.fast_path.clear(&mr.key());
        self.memory.pauses.replace(&mr.key(), vec![ALL_OBJECTS.to_owned()]);
        if mr.inventory().is_empty() {
            return Ok(Next::Done);
        }
        let snapshot = self.target.discovery.current().await?;
        for reference in mr.inventory() {
            // After a restart nobody has asked for them yet.
            self.watches.ensure(&reference.gvk().group_kind(), &snapshot.kinds);
        }
        let is_done = self.stages.applier.label_paused(&mr, &snapshot, |_| true).await;
        Ok(if is_done { Next::Done } else { Next::Backoff })
    }
}
