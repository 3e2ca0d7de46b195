//! Objects that are being deleted and whose end no watch will tell.

use holdfast_core::{drift::Live, plan::Plan};
use holdfast_runtime::call::CallError;

use crate::{discover::Snapshot, execute, load::Loaded, metadata, reconcile::Reconciler};

impl Reconciler {
    /// Looks at them. Those that are gone are missing from now on.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub(crate) async fn look_for_hidden(
        &self,
        plan: &Plan,
        loaded: &Loaded,
        snapshot: &Snapshot,
    ) -> Result<bool, CallError> {
        let mut is_any_gone = false;
        for object in plan.terminating.iter().filter_map(|position| loaded.desired.get(*position)) {
            let Some(info) = snapshot.kinds.get(&object.gvk).filter(|_| self.world.is_hidden(&object.key)) else {
                continue;
            };
            let api = metadata::api(&self.target, &object.gvk, &info.plural, object.key.namespace());
            let live = execute::look(&self.gate, &api, object.key.name()).await?;
            if live.is_none_or(|live| live.deletion_timestamp.is_none()) {
                self.world.observe(&object.key, Live::Gone, None);
                is_any_gone = true;
            }
        }
        Ok(is_any_gone)
    }
}
