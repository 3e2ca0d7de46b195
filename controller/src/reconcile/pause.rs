//! Break-glass: while objects are paused, nothing is written to them but one label; what was changed meanwhile is put right
//! when that ends.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, Mode, ResourceReference},
    key::{NamespacedName, ObjectKey},
    manifest::{annotations::Handling, discovery::Place},
    names,
    pause::{self, Pauses},
    status,
};
use holdfast_runtime::call::CallError;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Reconciler, now};
use crate::{
    prune::resource_of,
    queue::Next,
    status::events::Reason,
    target::{
        client::{self, ApplyError},
        discovery::Snapshot,
        partial_object::api,
    },
};

/// Objects of the pauses that lasted when a ManagedResource was looked at last; only those that had any.
#[derive(Default)]
pub struct Known(Mutex<BTreeMap<NamespacedName, Vec<String>>>);

impl Known {
    /// Takes down what lasts now; returns what was there before.
    fn replace(&self, mr: &NamespacedName, objects: Vec<String>) -> Option<Vec<String>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if objects.is_empty() { known.remove(mr) } else { known.insert(mr.clone(), objects) }
    }
}

/// The pauses of a ManagedResource in one pass.
#[derive(Default)]
pub(crate) struct Lasting {
    /// Nothing is written to their objects.
    pub(crate) pauses: Pauses,
    /// Others have ended, and what was changed meanwhile is to be put right.
    pub(crate) is_any_over: bool,
}

impl Lasting {
    /// Whether a whole pass is needed.
    pub(crate) fn matters(&self) -> bool {
        self.is_any_over || !self.pauses.is_empty()
    }
}

fn objects(pauses: &Pauses) -> Vec<String> {
    pauses.iter().map(pause::Entry::objects).collect()
}

impl Reconciler {
    /// What lasts now. Sees to it that the next end is not missed, and tells of those that were.
    pub(crate) fn lasting(&self, mr: &ManagedResource) -> Lasting {
        let (key, now) = (mr.key(), Timestamp::now());
        let pauses = if mr.pauses().is_empty() { Pauses::default() } else { Pauses::of(mr).active(now) };
        self.queue.wake(&key, pauses.next_look(now).map(|wait| Instant::now() + wait));
        let told = mr.status.as_ref().map(status::told_pauses).unwrap_or_default();
        let is_any_over = told > pauses.len();
        let mut over = self.known_pauses.replace(&key, objects(&pauses)).unwrap_or_default();
        over.retain(|over| !objects(&pauses).contains(over));
        if over.is_empty() && is_any_over {
            // It ended while nobody looked.
            over.push("some objects".to_owned());
        }
        if !over.is_empty() {
            let objects = over.join(", ");
            tracing::info!(managed_resource = %key, objects, "a pause is over");
            let note = format!("The pause of {objects} is over: what others changed meanwhile is put right");
            self.events.publish(mr, Reason::PauseEnded, &note);
        }
        Lasting { pauses, is_any_over }
    }

    /// A ManagedResource with the annotation `ignore`.
    pub(crate) async fn ignore(&self, mr: &Arc<ManagedResource>) -> Result<Next, CallError> {
        let mut status = mr.status.clone().unwrap_or_default();
        status::ignored(&mut status, &now());
        let mr = self.write_status(mr, &status).await?;
        self.steady.clear(&mr.key());
        self.known_pauses.replace(&mr.key(), vec!["all objects".to_owned()]);
        if mr.inventory().is_empty() {
            return Ok(Next::Done);
        }
        let snapshot = self.discoverer.current().await?;
        for reference in mr.inventory() {
            // After a restart nobody has asked for them yet.
            self.targets.ensure(&reference.gvk().group_kind(), &snapshot.kinds);
        }
        let is_done = self.mark(&mr, &snapshot, |_| true).await;
        Ok(if is_done { Next::Done } else { Next::Backoff })
    }

    /// Makes objects of the inventory that are paused say that nothing protects them. False if that did not succeed with all.
    pub(crate) async fn mark(
        &self,
        mr: &ManagedResource,
        snapshot: &Snapshot,
        is_paused: impl Fn(&ObjectKey) -> bool,
    ) -> bool {
        if mr.mode(self.marks.default_mode) == Mode::Off {
            return true;
        }
        let is_held = |reference: &&ResourceReference| {
            Handling::of(|name| reference.annotations.get(name)).is_some_and(Handling::is_held)
        };
        let held = mr.inventory().iter().filter(|reference| !reference.pending).filter(is_held);
        let jobs: Vec<_> = held
            .map(|reference| (reference, reference.object_key()))
            .filter(|(_, object)| is_paused(object) && !self.world.is_marked(object))
            .map(|(reference, object)| async move {
                let resource = resource_of(reference);
                let marked = self.in_turn(&resource, ApplyError::call, || self.mark_one(reference, &object, snapshot));
                let done = Box::pin(marked).await;
                done.map_err(|error| {
                    tracing::warn!(%object, error = error.words(&object), "cannot mark it as paused");
                })
            })
            .collect();
        stream::iter(jobs).buffer_unordered(self.width).all(|done| async move { done.is_ok() }).await
    }

    async fn mark_one(
        &self,
        reference: &ResourceReference,
        object: &ObjectKey,
        snapshot: &Snapshot,
    ) -> Result<(), ApplyError> {
        // That its label changes is no news.
        let _writing = self.world.writing(object);
        let (Some(uid), Place::At(gvk, info)) =
            (self.world.uid(object), snapshot.kinds.look_up(&reference.gvk(), &reference.namespace))
        else {
            return Ok(());
        };
        let api = api(&self.target, &gvk, &info.plural, &reference.namespace);
        let (params, patch) = (client::params_of(names::PAUSE_MANAGER), pause::mark(&uid));
        match client::patch_json(&self.gate, "mark as paused", &api, &reference.name, &params, patch).await {
            // Gone, another object by now, or without any label: then nothing says that it is protected.
            Err(ApplyError::Call(error)) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(ApplyError::Call(error)) if error.status().is_some_and(|status| status.code == 422) => Ok(()),
            result => result.map(drop),
        }
    }
}
