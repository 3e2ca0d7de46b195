//! Objects that are being deleted and whose end no watch will tell.

use holdfast_core::{drift::Live, plan::Plan};
use holdfast_runtime::call::CallError;

use crate::{discover::Snapshot, execute, load::Loaded, reconcile::Reconciler};

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
            let api = execute::api(&self.target, &object.gvk, &info.plural, &object.key.namespace);
            let is_gone = match self.gate.call("get", api.get_metadata(&object.key.name)).await {
                Ok(live) => live.metadata.deletion_timestamp.is_none(),
                Err(error) if error.is_not_found() => true,
                Err(error) => return Err(error),
            };
            if is_gone {
                self.world.observe(&object.key, Live::Gone, None);
                is_any_gone = true;
            }
        }
        Ok(is_any_gone)
    }
}
