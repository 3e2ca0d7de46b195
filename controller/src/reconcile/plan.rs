//! What a pass is to do.

use holdfast_core::{
    inventory::plan::{self, Plan},
    position::Position,
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
        let repair = mr.repair(self.policy.repair);
        let options = PlanOptions {
            repair: plan::is_repairing(mr, &set.checksum, repair, pauses.is_any_over),
            refused: refused.keys().copied().collect(),
            pauses: pauses.pauses.clone(),
            garbage_collector: self.policy.garbage_collector,
        };
        let plan: Plan = self.state.plan_and_claim(mr, set, &options);
        // After the claims, or another pass would end the watches as unused.
        for kind in &set.kinds {
            self.watches.ensure(kind, &served.kinds);
        }
        // What another ManagedResource holds is its business, and said elsewhere.
        let is_conflict = |position: &Position| plan.conflicts.iter().any(|conflict| conflict.position == *position);
        refused.retain(|position, _| !is_conflict(position));
        (pass.plan, pass.refused) = (plan, refused);
        Ok(())
    }
}
