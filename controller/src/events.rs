//! Kubernetes Events on ManagedResources: what an operator wants to see in `kubectl describe`.
//!
//! Best effort and rate-limited: a lost Event loses nothing, conditions say how things stand.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_core::{api::ManagedResource, key::NamespacedName};
use kube::{
    Client, Resource as _,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::{sync::Semaphore, time::Instant};

use crate::gate::Gate;

/// At most one Event of a reason on a ManagedResource in this time.
const INTERVAL: Duration = Duration::from_secs(10);
/// Events on their way at a time; more are dropped.
const IN_FLIGHT: usize = 64;
const LIMIT: Duration = Duration::from_secs(5);
/// The API's limit is 1,024 bytes.
const MAX_NOTE: usize = 1000;

/// Why an Event is published. The name is the Event's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Objects were applied because their manifests changed.
    Applied,
    /// Objects that others changed or deleted were put right.
    Repaired,
    /// Objects that are not declared any more were deleted.
    Pruned,
    /// Nothing is pruned because something cannot be read.
    HeldBack,
    /// Objects could not be applied.
    ApplyFailed,
    /// An object is held by another ManagedResource.
    Conflict,
    /// Settings or annotations have no effect.
    BadSetting,
    /// An object is declared twice.
    DeclaredTwice,
    /// Objects that existed already were taken over.
    Adopted,
    /// The server refuses to apply a manifest; it is written without apply.
    Fallback,
    /// Somebody changes an object again and again.
    Fight,
    /// The CustomResourceDefinition lacks our fields.
    ForeignDefinition,
    /// An object in the inventory turned out to be somebody else's.
    NotOurs,
    /// Objects were left to others, because their manifests say so.
    Released,
    /// Namespaces of the cluster itself were left to others instead of being deleted.
    Spared,
    /// An object that is not declared any more stays, because it says so.
    Kept,
    /// Objects were deleted and created again, because an update was invalid.
    Replaced,
    /// Finalizers were removed from an object whose deletion hung.
    Finalized,
    /// Objects that were paused are held again.
    PauseEnded,
}

/// Publishes Events, while we lead.
pub struct Events {
    gate: Gate,
    client: Client,
    reporter: Reporter,
    recorder: Recorder,
    slots: Arc<Semaphore>,
    last: Mutex<BTreeMap<(NamespacedName, Reason), Instant>>,
}

impl Events {
    /// Publishes as this controller.
    pub fn new(client: Client, gate: Gate) -> Self {
        let reporter = Reporter { controller: "holdfast-controller".into(), instance: std::env::var("POD_NAME").ok() };
        Self {
            gate,
            recorder: Recorder::new(client.clone(), reporter.clone()),
            client,
            reporter,
            slots: Arc::new(Semaphore::new(IN_FLIGHT)),
            last: Mutex::default(),
        }
    }

    /// Publishes in the background; never waits and never fails.
    pub fn publish(&self, mr: &ManagedResource, reason: Reason, note: &str) {
        let key = (mr.key(), reason);
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { return };
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.retain(|_, at| at.elapsed() < INTERVAL);
            if last.contains_key(&key) {
                return;
            }
            last.insert(key, Instant::now());
        }
        let is_normal = matches!(
            reason,
            Reason::Applied
                | Reason::Adopted
                | Reason::Repaired
                | Reason::Pruned
                | Reason::Kept
                | Reason::Replaced
                | Reason::PauseEnded
                | Reason::Released
                | Reason::Spared
        );
        let event = Event {
            type_: if is_normal { EventType::Normal } else { EventType::Warning },
            reason: format!("{reason:?}"),
            note: Some(shortened(note)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let recorder = match reason {
            // The other one takes later Events of the same reason for repetitions, and drops their notes.
            Reason::PauseEnded => Recorder::new(self.client.clone(), self.reporter.clone()),
            _ => self.recorder.clone(),
        };
        let (gate, reference) = (self.gate.clone(), mr.object_ref(&()));
        tokio::spawn(async move {
            let _slot = slot;
            let published = gate.call("publish an Event", recorder.publish(&event, &reference));
            match tokio::time::timeout(LIMIT, published).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "an Event was not published"),
                Err(_) => tracing::debug!("an Event was not published in time"),
            }
        });
    }
}

fn shortened(note: &str) -> String {
    if note.len() <= MAX_NOTE {
        return note.to_owned();
    }
    let cut = (0..=MAX_NOTE).rev().find(|at| note.is_char_boundary(*at)).unwrap_or_default();
    format!("{}…", &note[..cut])
}
