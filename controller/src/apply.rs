//! Applying desired objects, wave by wave.
//!
//! [`adoption`] looks at what exists before it is taken over. [`object`] makes one object equal to its manifest, with the help of the
//! others; [`established`] waits for the kinds of new definitions.

pub(crate) mod adoption;
mod create_only;
mod established;
pub(crate) mod kinds;
mod merge_patch;
mod object;
mod recreate;
mod release_fields;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use holdfast_core::{api::ManagedResource, field_ownership::Reach, key::NamespacedName, manifest::Desired};

use crate::{
    desired::{Loaded, failure_text},
    reconcile::Reconciler,
    status::{
        events::Reason,
        result::{Failure, Failures},
    },
    target::{client::ApplyError, discovery::Snapshot, slots::is_answer},
};
use object::Held;

/// What the owner of a ManagedResource is told, one text an object.
#[derive(Default)]
struct News {
    repaired: Vec<String>,
    adopted: Vec<String>,
    fights: Vec<String>,
    fallbacks: Vec<String>,
    replaced: Vec<String>,
}

impl News {
    fn add(&mut self, object: &Desired, held: &Held) {
        let with =
            |words: &str| if words.is_empty() { object.key.to_string() } else { format!("{} ({words})", object.key) };
        if let Some(change) = &held.repaired {
            self.repaired.push(with(&change.to_string()));
            if held.is_fight {
                self.fights.push(with(&change.managers.join(", ")));
            }
        }
        if !held.adopted.is_empty() {
            self.adopted.push(with(&format!("written by {}", held.adopted.join(", "))));
        }
        if let Some(words) = &held.fallback {
            self.fallbacks.push(with(words));
        }
        if let Some(words) = &held.replaced {
            self.replaced.push(with(words));
        }
    }
}

impl Reconciler {
    /// Applies some of the desired objects, `width` at a time. One that fails stops no other. `fresh` are those that the
    /// inventory did not have before.
    pub(crate) async fn apply(
        &self,
        mr: &ManagedResource,
        loaded: &Loaded,
        snapshot: &Snapshot,
        fresh: &BTreeSet<usize>,
        positions: &[usize],
        width: usize,
    ) -> Failures {
        let (key, reach) = (Arc::new(mr.key()), Reach::of(mr));
        let jobs: Vec<_> = positions
            .iter()
            .map(|position| self.hold_at((&key, &reach), loaded, snapshot, *position, fresh.contains(position)))
            .collect();
        let mut results = std::pin::pin!(stream::iter(jobs).buffer_unordered(width));
        let mut failures = BTreeMap::new();
        let mut news = News::default();
        let mut is_stale = false;
        while let Some((position, result)) = results.next().await {
            let Some(object) = loaded.desired.get(position) else { continue };
            match result {
                Ok(held) => news.add(object, &held),
                Err(error) => {
                    self.metrics.apply_failures.inc();
                    is_stale |= error.is_not_served();
                    let text = failure_text(object, &error.words(&object.key));
                    let is_brief = error.is_brief();
                    if is_brief || !is_answer(error.call()) {
                        // Passes come far more often than attempts.
                        tracing::debug!(managed_resource = %key, "cannot apply {text} yet");
                    } else {
                        tracing::warn!(managed_resource = %key, "cannot apply {text}");
                    }
                    failures.insert(position, Failure { text, is_brief });
                }
            }
        }
        if is_stale && let Err(error) = self.discoverer.refresh().await {
            tracing::warn!(%error, "cannot tell what is served");
        }
        self.tell(mr, &news);
        failures
    }

    /// What came of work that a pass did not wait for. Returns whether that is worth another one.
    pub(crate) fn tell_late(&self, mr: &NamespacedName, object: &Desired, held: Result<Held, ApplyError>) -> bool {
        match held {
            Ok(held) => {
                let Some(mr) = self.world.mr(mr) else { return false };
                let mut news = News::default();
                news.add(object, &held);
                self.tell(&mr, &news);
                true
            }
            // The next pass says so.
            Err(error) => {
                let words = error.words(&object.key);
                tracing::debug!(object = %object.key, error = words, "no answer, or no good one");
                is_answer(error.call())
            }
        }
    }

    fn tell(&self, mr: &ManagedResource, news: &News) {
        for (reason, what, objects) in [
            (Reason::Repaired, "Put right after others changed or deleted it", &news.repaired),
            (Reason::Adopted, "Taken over although others had created it", &news.adopted),
            (
                Reason::Fight,
                "Changed by others again and again; repairs come more rarely until this ends",
                &news.fights,
            ),
            (
                Reason::Fallback,
                "Written without apply, because the server refuses to apply the manifest",
                &news.fallbacks,
            ),
            (
                Reason::Replaced,
                "Deleted and created again, because the server does not accept the update",
                &news.replaced,
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
