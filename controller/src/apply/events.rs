//! What the owner of a ManagedResource is told of its objects.

use holdfast_core::{api::ManagedResource, manifest::Desired};

use super::{Applier, context::ObjectOutcome};
use crate::status::events::Reason;

/// One text for each object.
#[derive(Default)]
pub(super) struct EventBatch {
    repaired: Vec<String>,
    adopted: Vec<String>,
    contended: Vec<String>,
    plain: Vec<String>,
    recreated: Vec<String>,
}

impl EventBatch {
    /// Adds what came of one object.
    pub(super) fn add(&mut self, object: &Desired, outcome: &ObjectOutcome) {
        let with =
            |words: &str| if words.is_empty() { object.key.to_string() } else { format!("{} ({words})", object.key) };
        if let Some(change) = &outcome.repaired {
            self.repaired.push(with(&change.to_string()));
            if outcome.is_contended {
                self.contended.push(with(&change.managers.join(", ")));
            }
        }
        if !outcome.adopted.is_empty() {
            self.adopted.push(with(&format!("written by {}", outcome.adopted.join(", "))));
        }
        if let Some(words) = &outcome.plain {
            self.plain.push(with(words));
        }
        if let Some(words) = &outcome.recreated {
            self.recreated.push(with(words));
        }
    }
}

impl Applier {
    /// One Event of each sort.
    pub(super) fn publish(&self, mr: &ManagedResource, batch: &EventBatch) {
        for (reason, what, objects) in [
            (Reason::Repaired, "Put right after others changed or deleted it", &batch.repaired),
            (Reason::Adopted, "Taken over although others had created it", &batch.adopted),
            (
                Reason::Fight,
                "Changed by others again and again; repairs come more rarely until this ends",
                &batch.contended,
            ),
            (Reason::Fallback, "Written without apply, because the server refuses to apply the manifest", &batch.plain),
            (
                Reason::Replaced,
                "Deleted and created again, because the server does not accept the update",
                &batch.recreated,
            ),
        ] {
            if !objects.is_empty() {
                let objects = objects.join(", ");
                tracing::info!(managed_resource = %mr.key(), objects, "{}", what.to_lowercase());
                self.events.publish(mr, reason, &format!("{what}: {objects}"));
            }
        }
    }
}
