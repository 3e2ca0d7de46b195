//! ManagedResources with which nothing can be done: said at once, before anything is applied, pruned or half-done.

use std::sync::Arc;

use holdfast_core::{
    api::ManagedResource,
    status::{self, Outcome},
    validation::managed_resource,
};
use holdfast_runtime::call::CallError;

use super::{Reconciler, announce::now};
use crate::{desired::DesiredSet, queue::Next};

impl Reconciler {
    /// Refuses what a setting makes impossible, or the size where that is known; `None` if nothing does.
    pub(super) async fn refuse(
        &self,
        mr: &Arc<ManagedResource>,
        set: Option<&DesiredSet>,
    ) -> Result<Option<Next>, CallError> {
        let mut errors = managed_resource::errors(mr);
        errors.extend(set.and_then(|set| managed_resource::too_large(&set.objects, mr.inventory())));
        if errors.is_empty() {
            return Ok(None);
        }
        // Nobody is to wait for its plan.
        self.state.managed_resources.set_unplannable(&mr.key());
        let mut status = mr.status.clone().unwrap_or_default();
        let outcome = Outcome::ApplyFailed(errors);
        status::finish(&mut status, &outcome, &[], &now());
        self.publish_events(mr, &status, &outcome, &[]);
        self.status.write(mr, &status).await?;
        // A change of the ManagedResource or of its Secrets is an event.
        Ok(Some(Next::Done))
    }
}
