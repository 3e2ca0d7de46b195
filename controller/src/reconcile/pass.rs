//! A pass over a ManagedResource: load → plan → write ahead → apply → prune → report.

use std::{sync::Arc, time::Duration};

use holdfast_core::{
    api::ManagedResource, inventory::plan::Plan, key::ObjectKey, manifest::waves::Wave, position::Position,
};
use holdfast_runtime::call::CallError;
use tokio::time::Instant;

use super::{Reconciler, announce::now, load::Loaded, pause::ActivePauses};
use crate::{
    apply::Batch,
    desired::{Declaration, DesiredSet},
    queue::Next,
    status::result::{Failures, Pruned},
    target::discovery::Snapshot,
};

/// While an answer may come at any moment; its coming queues the ManagedResource sooner.
const UNTIL_ANSWERED: Duration = Duration::from_millis(500);
/// A pass that is left open says so when it takes longer.
const UNTIL_ANNOUNCED: Duration = Duration::from_secs(1);

/// What a pass has found out so far.
pub(super) struct Pass {
    pub(super) mr: Arc<ManagedResource>,
    pub(super) set: Arc<DesiredSet>,
    pub(super) served: Snapshot,
    pub(super) pauses: ActivePauses,
    pub(super) plan: Plan,
    /// Objects that are not as declared.
    pub(super) failures: Failures,
    /// Objects that are not to be taken over, or cannot be managed.
    pub(super) refused: Failures,
}

/// What came of a plan.
pub(super) struct Executed {
    pub(super) failures: Failures,
    pub(super) pruned: Pruned,
}

impl Pass {
    pub(super) fn declaration(&self) -> Declaration<'_> {
        Declaration { mr: &self.mr, set: &self.set, served: &self.served }
    }

    fn set_loaded(&mut self, loaded: Loaded) {
        (self.set, self.served) = (loaded.set, loaded.served);
    }
}

impl Reconciler {
    /// Makes the objects of a ManagedResource equal to its manifests: by the fast path, where only drift is to be repaired, or by
    /// a pass.
    pub(super) async fn reconcile_objects(&self, mr: Arc<ManagedResource>) -> Result<Next, CallError> {
        let served = self.target.discovery.current().await?;
        let pauses = self.active_pauses(&mr);
        // Perhaps an earlier pass was asked, and did not get that far.
        let is_requested = self.state.managed_resources.is_apply_requested(&mr.key());
        if !is_requested
            && !pauses.need_a_pass()
            && let Some(next) = self.repair_drift(&mr, &served).await
        {
            return Ok(next);
        }
        self.memory.fast_path.clear(&mr.key());
        let is_paused = |object: &ObjectKey| pauses.pauses.matches(object);
        self.stages.applier.label_paused(&mr, &served, is_paused).await;
        if let Some(next) = self.refuse(&mr, None).await? {
            return Ok(next);
        }
        let Loaded { set, served } = self.load(&mr, served).await?;
        let (plan, failures, refused) = (Plan::default(), Failures::new(), Failures::new());
        self.pass(Pass { mr, set, served, pauses, plan, failures, refused }, is_requested).await
    }

    /// The pass, with what is desired; `is_requested` if everything is to be applied, changed or not.
    async fn pass(&self, mut pass: Pass, is_requested: bool) -> Result<Next, CallError> {
        if let Some(next) = self.refuse(&pass.mr, Some(&pass.set)).await? {
            return Ok(next);
        }
        if pass.set.heeds_autoscalers() {
            self.learn_autoscalers(&pass.mr, &pass.served).await;
            pass.set_loaded(self.load(&pass.mr, pass.served.clone()).await?);
        }
        self.set_due_writes(&pass, is_requested);
        self.plan(&mut pass).await?;
        self.apply_definitions(&mut pass).await?;

        let Some(pruned) = self.write_ahead_and_execute(&mut pass).await? else {
            return Ok(Next::After(self.memory.prune_barrier.pause(&pass.mr.key())));
        };
        if self.stages.applier.is_any_termination_over(pass.declaration(), &pass.plan).await {
            return Ok(Next::After(Duration::ZERO));
        }
        self.apply_again_after(&pruned, &mut pass).await;
        let mut refused = std::mem::take(&mut pass.refused);
        pass.failures.append(&mut refused);
        if let Some(next) = self.keep_open(&pass, &pruned).await? {
            return Ok(next);
        }
        self.finish(&pass, &pruned).await
    }

    /// Objects that are due to be applied again, changed or not.
    fn set_due_writes(&self, pass: &Pass, is_requested: bool) {
        let (key, objects) = (pass.mr.key(), &pass.set.objects);
        let batch = self.memory.resync.batch(&key, objects, Instant::now());
        let due = if is_requested { 0..objects.len() } else { batch };
        for object in objects.get(due).unwrap_or_default() {
            // What another ManagedResource holds is its business.
            if self.state.managed_resources.holds(&key, &object.key) {
                self.state.objects.set_write_due(&object.key);
            }
        }
    }

    /// CustomResourceDefinitions come first: what is made of their kinds cannot be planned before they are served.
    async fn apply_definitions(&self, pass: &mut Pass) -> Result<(), CallError> {
        let Some(definitions) = pass.plan.apply.remove(&Wave::Definitions) else { return Ok(()) };
        pass.mr = self.write_ahead(pass, &now()).await?;
        let batch = Batch { positions: &definitions, fresh: &pass.plan.fresh, width: self.target.width };
        pass.failures = self.stages.applier.apply(pass.declaration(), batch).await;
        let served = pass.served.clone();
        let served = self.stages.applier.wait_until_established(&pass.set, &definitions, &pass.failures, served).await;
        pass.set_loaded(self.load(&pass.mr, served).await?);
        self.plan(pass).await?;
        pass.plan.apply.remove(&Wave::Definitions);
        Ok(())
    }

    /// What stood in the way of objects, such as a node port in use, may be gone now.
    async fn apply_again_after(&self, pruned: &Pruned, pass: &mut Pass) {
        if pruned.deleted == 0 || pass.failures.is_empty() {
            return;
        }
        let again: Vec<Position> = pass.failures.keys().copied().collect();
        let batch = Batch { positions: &again, fresh: &pass.plan.fresh, width: self.target.width };
        pass.failures = self.stages.applier.apply(pass.declaration(), batch).await;
    }

    /// A pass with nothing but trouble that has just begun is not finished yet.
    async fn keep_open(&self, pass: &Pass, pruned: &Pruned) -> Result<Option<Next>, CallError> {
        let key = pass.mr.key();
        let Some(open) = self.memory.brief_failures.open_for(&key, &pass.failures, pruned, Instant::now()) else {
            return Ok(None);
        };
        if open > UNTIL_ANNOUNCED {
            self.write_ahead(pass, &now()).await?;
        }
        Ok(Some(Next::After(UNTIL_ANSWERED)))
    }

    /// Writes the inventory ahead of the work, then does it. `None` if it is too early to prune.
    async fn write_ahead_and_execute(&self, pass: &mut Pass) -> Result<Option<Pruned>, CallError> {
        // If it is said late, the time is that of saying it.
        let ahead = async |pass: &Pass| self.write_ahead(pass, &now()).await;
        let executed = if pass.plan.write_ahead {
            pass.mr = ahead(pass).await?;
            self.execute_plan(pass).await
        } else {
            // The inventory is as it was, so nothing can leak: that something is going on may be said meanwhile.
            let work = Box::pin(self.execute_plan(pass));
            let (written, executed) = super::announce::announce_if_slow(ahead(pass), work).await;
            if let Some(written) = written.transpose()? {
                pass.mr = written;
            }
            executed
        };
        let Some(Executed { failures, pruned }) = executed else { return Ok(None) };
        pass.failures.extend(failures);
        Ok(Some(pruned))
    }
}
