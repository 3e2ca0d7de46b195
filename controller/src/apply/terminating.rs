//! Objects that are being deleted and whose end no watch will tell.

use std::sync::Arc;

use holdfast_core::{
    inventory::{drift::Live, plan::Plan},
    key::ObjectKey,
};
use holdfast_runtime::call::CallError;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Applier;
use crate::{
    desired::Declaration,
    target::{
        client::Endpoint,
        error,
        requests::{Afterwards, Job, Verb},
    },
};

impl Applier {
    /// Looks at them. Those that are gone are missing from now on; returns whether there are any. Of one that cannot be looked
    /// at nothing is known, and the pass goes on: it has other things to say.
    pub(crate) async fn is_any_termination_over(self: &Arc<Self>, declared: Declaration<'_>, plan: &Plan) -> bool {
        let Declaration { mr, set, served } = declared;
        let mut is_any_gone = false;
        for object in plan.terminating.iter().filter_map(|position| position.of(&set.objects)) {
            let Some(info) =
                served.kinds.get(&object.gvk).filter(|_| self.state.objects.is_terminating_unlabelled(&object.key))
            else {
                continue;
            };
            let endpoint = Endpoint::new(&object.gvk, info);
            let (resource, key) = (endpoint.resource(), object.key.clone());
            let job = Job { mr: mr.key(), object: key.clone(), resource, verb: Verb::Get };
            let this = Arc::clone(self);
            let work = {
                let key = key.clone();
                async move { this.target.client.get(&endpoint, &key).await }
            };
            let this = Arc::clone(self);
            let late = move |live| if this.is_gone(&key, live) { Afterwards::Requeue } else { Afterwards::Wait };
            let live = self.target.requests.run(job, Box::pin(work), late).await;
            is_any_gone |= self.is_gone(&object.key, live);
        }
        is_any_gone
    }

    /// Whether an object that was being deleted is gone, or is another one by now. Then the state knows.
    fn is_gone(&self, object: &ObjectKey, live: Result<Option<ObjectMeta>, CallError>) -> bool {
        match live {
            Ok(live) if live.as_ref().is_none_or(|live| live.deletion_timestamp.is_none()) => {
                let is_pending = self.state.objects.is_terminating_unlabelled(object);
                if is_pending {
                    self.state.observe(object, Live::Gone, None);
                }
                is_pending
            }
            Ok(_) => false,
            Err(error) => {
                let words = error::words(&error, object);
                tracing::debug!(%object, error = words, "cannot tell whether it is still being deleted");
                false
            }
        }
    }
}
