//! ManagedResources with which nothing can be done: said at once, before anything is applied, pruned or half-done.

use std::sync::Arc;

use holdfast_core::{
    api::ManagedResource,
    status::{self, Outcome},
    validation::managed_resource,
};
use holdfast_runtime::call::CallError;

use super::Reconciler;
use crate::{desired::Loaded, queue::Next};

impl Reconciler {
    /// Refuses what a setting or the size makes impossible; `None` if nothing does. `now` is the time of conditions.
    pub(crate) async fn refuse(
        &self,
        mr: &Arc<ManagedResource>,
        loaded: Option<&Loaded>,
        now: &str,
    ) -> Result<Option<Next>, CallError> {
        let mut why = managed_resource::refusals(mr);
        why.extend(loaded.and_then(|loaded| managed_resource::too_large(&loaded.desired, mr.inventory())));
        if why.is_empty() {
            return Ok(None);
        }
        // Nobody is to wait for its plan.
        self.world.cannot_plan(&mr.key());
        let mut status = mr.status.clone().unwrap_or_default();
        status::conclude(&mut status, &Outcome::ApplyFailed(why), &[], now);
        self.announce(mr, &status, 0, &[]);
        self.write_status(mr, &status).await?;
        // A change of the ManagedResource or of its Secrets is an event.
        Ok(Some(Next::Done))
    }
}
