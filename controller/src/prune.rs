//! Deleting what is not declared any more.
//!
//! [`attempt`] deletes one object of an inventory ([`delete`]) where its kind is served ([`locate`]); [`teardown`] deletes many in
//! their order; [`orphan`] takes our marks off objects without deleting them; [`refusals`] says when a deletion that was refused is
//! tried again.

mod attempt;
mod delete;
mod locate;
mod orphan;
mod refusals;
mod teardown;

use std::{sync::Arc, time::Duration};

use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    deletion::Deletions,
    inventory::plan::Plan,
    key::ObjectKey,
};

use crate::{
    metrics::Metrics,
    state::ClusterState,
    status::{
        events::{Events, Reason},
        result::Pruned,
    },
    target::Target,
};
use delete::Removal;
use refusals::Refusals;
use teardown::{Finished, Teardown};

pub(crate) use orphan::{Orphaned, Recipient};
pub(crate) use teardown::Teardown as TeardownResult;

/// What the settings say about deletions.
#[derive(Clone, Debug)]
pub(crate) struct PruneSettings {
    /// Prefix of origin annotations.
    pub(crate) cluster_id: String,
    /// There is a garbage collector.
    pub(crate) garbage_collector: bool,
    /// Time between two looks at a deletion that takes long.
    pub(crate) pending_period: Duration,
}

/// Deletes objects, and orphans those that stay.
pub(crate) struct Pruner {
    target: Arc<Target>,
    state: Arc<ClusterState>,
    events: Arc<Events>,
    metrics: Metrics,
    refusals: Refusals,
    settings: PruneSettings,
}

impl Pruner {
    /// Nothing has been refused yet.
    pub(crate) fn new(
        target: Arc<Target>,
        state: Arc<ClusterState>,
        events: Arc<Events>,
        metrics: Metrics,
        settings: PruneSettings,
    ) -> Self {
        Self { target, state, events, metrics, refusals: Refusals::default(), settings }
    }

    /// Deletes what is not declared any more, in the order that it needs.
    pub(crate) async fn prune(self: &Arc<Self>, mr: &ManagedResource, plan: &Plan) -> Pruned {
        let mut pruned = Pruned { dropped: plan.handed_over.clone(), ..Pruned::default() };
        let key = mr.key();
        let is_paused =
            |reference: &ResourceReference| self.state.managed_resources.is_paused(&key, &reference.object_key());
        // Those that were paused since the plan was made stay where they are.
        let due = plan.prune.iter().filter(|reference| !is_paused(reference));
        let Teardown { finished, pending, retry, .. } = {
            let deletions = Deletions::pruned(due, |object| self.state.objects.is_finalized(object));
            self.tear_down(mr, deletions).await
        };
        (pruned.pending, pruned.retry) = (pending, retry);
        let mut deleted = Vec::new();
        for Finished { reference, removal } in finished {
            if matches!(removal, Removal::Deleted | Removal::Finalized) {
                deleted.push(reference.object_key().to_string());
            }
            if removal != Removal::OwnedByAnother {
                self.state.forget_object(&reference.object_key());
            }
            pruned.dropped.push(reference);
        }
        deleted.sort_unstable();
        pruned.deleted = deleted.len();
        if !deleted.is_empty() {
            let objects = deleted.join(", ");
            tracing::info!(managed_resource = %key, objects, "pruned");
            self.events.publish(mr, Reason::Pruned, &format!("Deleted because it is not declared any more: {objects}"));
        }
        pruned
    }

    /// Deletions of the object are tried again at once, even if one was refused.
    pub(crate) fn forget_refusal(&self, object: &ObjectKey) {
        self.refusals.forget(object);
    }
}
