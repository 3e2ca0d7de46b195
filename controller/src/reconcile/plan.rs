//! What a pass is to do.

use holdfast_core::{
    api::Repair,
    inventory::{plan::Plan, position::Position},
};
use holdfast_runtime::call::CallError;

use super::{Reconciler, pass::Pass};
use crate::{apply::kinds::unmanageable, state::PlanOptions};

impl Reconciler {
    /// Makes the plan, and claims the new objects.
    pub(super) async fn plan(&self, pass: &mut Pass) -> Result<(), CallError> {
        let Pass { mr, set, served, pauses, .. } = &*pass;
        let mut refused = unmanageable(set, &served.kinds);
        refused.extend(self.stages.applier.adoption_refusals(pass.declaration()).await?);
        let status = mr.status.as_ref();
        // A change of what is wanted is a sync; only what others did is left where it is to be.
        let is_changed = status.and_then(|status| status.secrets_data_checksum.as_ref()) != Some(&set.checksum)
            || status.and_then(|status| status.observed_generation) != mr.metadata.generation;
        let repair = mr.repair(self.policy.repair) == Repair::Watch;
        let how = PlanOptions {
            repair: repair || is_changed || pauses.is_any_over,
            refused: refused.keys().copied().collect(),
            pauses: pauses.pauses.clone(),
            garbage_collector: self.policy.garbage_collector,
        };
        let plan: Plan = self.state.plan_and_claim(mr, set, &how);
        // After the claims, or another pass would end the watches as unused.
        for kind in &set.kinds {
            self.watches.ensure(kind, &served.kinds);
        }
        // What another ManagedResource holds is its business, and said elsewhere.
        let is_conflict = |position: &Position| plan.conflicts.iter().any(|(other, _)| other == position);
        refused.retain(|position, _| !is_conflict(position));
        (pass.plan, pass.refused) = (plan, refused);
        Ok(())
    }
}
