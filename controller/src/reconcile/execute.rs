//! Doing what is planned: apply, orphan, prune.

use super::{
    Reconciler,
    pass::{Executed, Pass},
};
use crate::{
    apply::Batch,
    config::PruneArg,
    prune::{Orphaned, Recipient},
    status::result::Pruned,
};

impl Reconciler {
    /// Applies wave by wave, then orphans and prunes. `None` if it is too early to prune.
    pub(super) async fn execute_plan(&self, pass: &Pass) -> Option<Executed> {
        let (mr, plan) = (&*pass.mr, &pass.plan);
        let mut failures = pass.failures.clone();
        for positions in plan.apply.values() {
            let batch = Batch { positions, fresh: &plan.fresh, width: self.target.width };
            failures.extend(self.stages.applier.apply(pass.declaration(), batch).await);
        }
        let removal = &self.stages.pruner;
        let Orphaned { dropped: mut orphaned, failed: mut unorphaned } =
            removal.orphan(mr, plan.released.iter(), Recipient::Anybody).await;
        if plan.drops_any() && !self.state.managed_resources.are_all_planned() {
            // Another one may want what this one drops, and has not said so yet.
            return None;
        }
        for (references, recipient) in
            [(&plan.spared, Recipient::Cluster), (&plan.collectable, Recipient::GarbageCollector)]
        {
            let Orphaned { dropped, failed } = removal.orphan(mr, references.iter(), recipient).await;
            orphaned.extend(dropped);
            unorphaned.extend(failed);
        }
        if self.policy.prune == PruneArg::OnSuccess && !failures.is_empty() {
            let (dropped, waiting_for_success) = ([plan.handed_over.clone(), orphaned].concat(), plan.prune.len());
            let pruned = Pruned { dropped, unorphaned, waiting_for_success, ..Pruned::default() };
            return Some(Executed { failures, pruned });
        }
        let mut pruned = removal.prune(mr, plan).await;
        pruned.dropped.extend(orphaned);
        pruned.unorphaned = unorphaned;
        Some(Executed { failures, pruned })
    }
}
