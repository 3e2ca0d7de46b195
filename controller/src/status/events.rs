//! Kubernetes Events on ManagedResources: what an operator wants to see in `kubectl describe`.
//!
//! Best effort and rate-limited: a lost Event loses nothing, conditions say how things stand.

use holdfast_core::api::ManagedResource;
use holdfast_runtime::events::{LIMIT, Notice, Publisher, Series};
use kube::{Client, runtime::events::EventType};

use crate::target::write_gate::WriteGate;

/// Events on their way at a time; more are dropped.
const IN_FLIGHT: usize = 64;

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
pub(crate) struct Events {
    gate: WriteGate,
    publisher: Publisher,
}

impl Events {
    /// Publishes as this controller.
    pub fn new(client: Client, gate: WriteGate) -> Self {
        Self { gate, publisher: Publisher::new(client, "holdfast-controller", IN_FLIGHT) }
    }

    /// Publishes in the background; never waits and never fails.
    pub fn publish(&self, mr: &ManagedResource, reason: Reason, note: &str) {
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
        let notice = Notice {
            type_: if is_normal { EventType::Normal } else { EventType::Warning },
            reason: format!("{reason:?}"),
            action: "Reconcile",
            note: note.to_owned(),
            // The end of each pause is told of, with its note.
            series: if reason == Reason::PauseEnded { Series::Separate } else { Series::Counted },
        };
        let Some(request) = self.publisher.limited(&mr.key(), mr.metadata.uid.as_deref(), notice) else { return };
        let gate = self.gate.clone();
        tokio::spawn(async move {
            let published = gate.call("publish an Event", request);
            match tokio::time::timeout(LIMIT, published).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "an Event was not published"),
                Err(_) => tracing::debug!("an Event was not published in time"),
            }
        });
    }
}
