//! Objects that are being deleted and whose end no watch will tell.

use holdfast_core::{
    inventory::{drift::Live, plan::Plan},
    key::{NamespacedName, ObjectKey},
};
use holdfast_runtime::{call::CallError, traffic::Resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Reconciler;
use crate::{
    desired::Loaded,
    state::World,
    target::{client, discovery::Snapshot, partial_object, slots::unanswered},
};

impl Reconciler {
    /// Looks at them. Those that are gone are missing from now on; returns whether there are any. Of one that cannot be looked
    /// at nothing is known, and the pass goes on: it has other things to say.
    pub(crate) async fn look_for_hidden(
        &self,
        mr: &NamespacedName,
        plan: &Plan,
        loaded: &Loaded,
        snapshot: &Snapshot,
    ) -> bool {
        let mut is_any_gone = false;
        for object in plan.terminating.iter().filter_map(|position| loaded.desired.get(*position)) {
            let Some(info) = snapshot.kinds.get(&object.gvk).filter(|_| self.world.is_hidden(&object.key)) else {
                continue;
            };
            let Some(this) = self.this.upgrade() else { return false };
            let resource = Resource::new(&object.gvk.group, &info.plural);
            let api = partial_object::api(&self.target, &object.gvk, &info.plural, object.key.namespace());
            let (name, key) = (object.key.name().to_owned(), object.key.clone());
            let work = async move { client::look(&this.gate, &api, &name).await };
            let late = move |this: &Self, live| is_gone(&this.world, &key, live);
            let live = self.patiently(mr, &object.key, &resource, Box::pin(work), late).await;
            let live = live.unwrap_or_else(|hold| Err(unanswered("get", hold)));
            if live.is_err() {
                self.waits_for(mr, &resource);
            }
            is_any_gone |= is_gone(&self.world, &object.key, live);
        }
        is_any_gone
    }
}

/// Whether an object that was being deleted is gone, or is another one by now. Then the world knows.
fn is_gone(world: &World, object: &ObjectKey, live: Result<Option<ObjectMeta>, CallError>) -> bool {
    match live {
        Ok(live) if live.as_ref().is_none_or(|live| live.deletion_timestamp.is_none()) => {
            let is_awaited = world.is_hidden(object);
            if is_awaited {
                world.observe(object, Live::Gone, None);
            }
            is_awaited
        }
        Ok(_) => false,
        Err(error) => {
            let words = client::words(&error, object);
            tracing::debug!(%object, error = words, "cannot tell whether it is still being deleted");
            false
        }
    }
}
