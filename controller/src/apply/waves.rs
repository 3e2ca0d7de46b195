//! Applying some of the desired objects side by side.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use holdfast_core::{field_ownership::ManagedScope, key::NamespacedName, manifest::Desired, position::Position};

use super::{Applier, context::ObjectOutcome, events::EventBatch};
use crate::{
    desired::{Declaration, failure_text},
    status::result::{Failure, Failures},
    target::{
        error::ApplyError,
        requests::{Afterwards, is_answer},
    },
};

/// Objects to be applied together.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub(crate) positions: &'a [Position],
    /// Those that the inventory did not have before; there may be others in it.
    pub(crate) fresh: &'a BTreeSet<Position>,
    /// Objects at a time.
    pub(crate) width: usize,
}

impl Applier {
    /// Applies some of the desired objects. One that fails stops no other.
    pub(crate) async fn apply(self: &Arc<Self>, declared: Declaration<'_>, batch: Batch<'_>) -> Failures {
        let (mr, scope) = (declared.mr.key(), ManagedScope::of(declared.mr));
        let jobs: Vec<_> = batch
            .positions
            .iter()
            .map(|position| self.apply_at(declared, &scope, *position, batch.fresh.contains(position)))
            .collect();
        let mut results = std::pin::pin!(stream::iter(jobs).buffer_unordered(batch.width));
        let mut failures = BTreeMap::new();
        let mut events = EventBatch::default();
        let mut is_stale = false;
        while let Some((position, result)) = results.next().await {
            let Some(object) = position.of(&declared.set.objects) else { continue };
            match result {
                Ok(outcome) => events.add(object, &outcome),
                Err(error) => {
                    is_stale |= error.is_not_served();
                    failures.insert(position, self.failure(&mr, object, &error));
                }
            }
        }
        self.target.refresh_if(is_stale).await;
        self.publish(declared.mr, &events);
        failures
    }

    fn failure(&self, mr: &NamespacedName, object: &Desired, error: &ApplyError) -> Failure {
        self.metrics.apply_failures.inc();
        let text = failure_text(object, &error.words(&object.key));
        let is_brief = error.is_brief();
        if is_brief || !is_answer(error.call()) {
            // Passes come far more often than attempts.
            tracing::debug!(managed_resource = %mr, "cannot apply {text} yet");
        } else {
            tracing::warn!(managed_resource = %mr, "cannot apply {text}");
        }
        Failure { text, is_brief }
    }

    /// Publishes what came of work that a pass did not wait for.
    pub(super) fn finish_late(
        &self,
        mr: &NamespacedName,
        object: &Desired,
        result: Result<ObjectOutcome, ApplyError>,
    ) -> Afterwards {
        match result {
            Ok(outcome) => {
                let Some(mr) = self.state.managed_resources.get(mr) else { return Afterwards::Wait };
                let mut events = EventBatch::default();
                events.add(object, &outcome);
                self.publish(&mr, &events);
                Afterwards::Requeue
            }
            // The next pass says so.
            Err(error) => {
                let words = error.words(&object.key);
                tracing::debug!(object = %object.key, error = words, "the API server did not answer, or answered with an error");
                Afterwards::of(error.call())
            }
        }
    }
}
