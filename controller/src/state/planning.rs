//! Planning a pass over a ManagedResource, and claiming its new objects.

use std::collections::BTreeSet;

use holdfast_core::{
    api::{ManagedResource, Status},
    inventory::{
        drift::State,
        equivalence::Equivalences,
        plan::{self, Plan},
        planned_state::{Circumstances, planned_state},
    },
    manifest::Desired,
    pause::Pauses,
    position::Position,
};

use super::ClusterState;
use crate::desired::DesiredSet;

/// How a pass treats what it finds.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlanOptions {
    /// What others changed is repaired.
    pub(crate) repair: bool,
    /// Positions of objects that exist, are not ours and are not to be taken over.
    pub(crate) refused: BTreeSet<Position>,
    /// Active pauses.
    pub(crate) pauses: Pauses,
    /// There is a garbage collector.
    pub(crate) garbage_collector: bool,
}

impl ClusterState {
    /// Plans a pass and claims its new objects in one step, so that two ManagedResources never both take one.
    pub(crate) fn plan_and_claim(&self, mr: &ManagedResource, set: &DesiredSet, options: &PlanOptions) -> Plan {
        let key = mr.key();
        // All objects are looked at. What watches say from now on may not be in the plan, so it comes after this.
        self.objects.take_changed(&key);
        let mut inner = self.managed_resources.lock();
        let reserved = inner.pending_for_rest(&key).flatten().cloned().collect();
        let input = plan::Input {
            mr: &key,
            inventory: mr.inventory(),
            desired: &set.objects,
            complete: set.is_complete(),
            index: &inner.index,
            refused: &options.refused,
            pending_for_other_owners: &reserved,
            released: &set.orphaned,
            garbage_collector: options.garbage_collector,
            pauses: &options.pauses,
            equivalences: &Equivalences::of(mr),
            unknown: &set.unknown,
            change: set.change(),
        };
        let plan = plan::plan(&input, |position, object| self.planned_state(position, object, set, options));
        self.set_planned_writes_due(&plan, set, options.repair);
        inner.set_pending(&key, &plan, set);
        inner.planned.insert(key.clone());
        inner.requested.remove(&key);
        inner.news.remove(&key);
        if plan.write_ahead {
            let mut claimed = mr.clone();
            claimed.status.get_or_insert_with(Status::default).resources.clone_from(&plan.inventory);
            inner.index.upsert(&claimed);
        }
        plan
    }

    /// How an object stands for a plan.
    fn planned_state(&self, position: Position, object: &Desired, set: &DesiredSet, options: &PlanOptions) -> State {
        let (key, contention) = (&object.key, &self.contention);
        let circumstances = Circumstances {
            repair: options.repair,
            is_write_due: &|| self.objects.is_write_due(key),
            is_paused: &|| options.pauses.matches(key),
            may_wait: &|state| self.objects.may_wait(key, state),
            is_slowed_down: &|| contention.has_to_wait(key),
        };
        planned_state(self.objects.state(key, set.digest(position)), &circumstances)
    }

    /// What a plan is about to write is due, and so is what it would write if it were not in deletion or contended. Whatever a
    /// pass means to write is due from then on, whether it gets that far or not; only an accepted write ends that.
    fn set_planned_writes_due(&self, plan: &Plan, set: &DesiredSet, repair: bool) {
        let terminating = plan.terminating.iter().filter(|_| repair);
        for position in plan.apply.values().flatten().chain(&plan.contended).chain(terminating) {
            if let Some(object) = position.of(&set.objects) {
                self.objects.set_write_due(&object.key);
            }
        }
    }
}
