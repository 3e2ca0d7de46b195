//! What a ManagedResource desires now, read again only where something has changed.

use std::sync::Arc;

use holdfast_core::api::ManagedResource;
use holdfast_runtime::call::CallError;

use super::Reconciler;
use crate::{desired::DesiredSet, target::discovery::Snapshot};

/// What is desired, and what is served.
pub(super) struct Loaded {
    pub(super) set: Arc<DesiredSet>,
    pub(super) served: Snapshot,
}

impl Reconciler {
    /// Manifests from the cache or from the Secrets. Asks what is served when a kind is unknown.
    ///
    /// # Errors
    /// The API server does not answer, or refuses.
    pub(super) async fn load(&self, mr: &ManagedResource, mut served: Snapshot) -> Result<Loaded, CallError> {
        let (key, ownership) = (mr.key(), self.stages.loader.ownership());
        let is_unknown = |set: &DesiredSet, served: &Snapshot| {
            set.objects.iter().any(|object| served.kinds.get(&object.gvk).is_none())
        };
        if let Some(set) = self.state.desired_set(&key).filter(|set| set.is_current(mr, ownership, &served)) {
            if is_unknown(&set, &served) {
                // Another ManagedResource, or somebody else, may have brought the kind meanwhile.
                served = self.target.discovery.refresh().await?;
            }
            if set.is_current(mr, ownership, &served) {
                return Ok(Loaded { set, served });
            }
        }
        let mut set = self.read(mr, &served).await?;
        if is_unknown(&set, &served) {
            let newer = self.target.discovery.refresh().await?;
            if newer.number != served.number {
                served = newer;
                set = self.read(mr, &served).await?;
            }
        }
        let set = Arc::new(set);
        if !set.is_denied {
            self.state.manifests.keep(&key, Arc::clone(&set));
        }
        Ok(Loaded { set, served })
    }

    async fn read(&self, mr: &ManagedResource, served: &Snapshot) -> Result<DesiredSet, CallError> {
        let (key, loader) = (mr.key(), &self.stages.loader);
        let before = self.state.manifests.last(&key);
        let is_outdated = |secret: &str, version: Option<&str>| self.state.manifests.is_outdated(&key, secret, version);
        let mut set = loader.load(mr, served, before.as_deref(), is_outdated).await?;
        set.scale(loader.digest_key(), |object| self.state.autoscalers.scale(object).unwrap_or_default());
        Ok(set)
    }

    /// Sees to it that it is known what autoscalers scale.
    pub(super) async fn learn_autoscalers(&self, mr: &ManagedResource, served: &Snapshot) {
        if let Err(why) = self.watches.autoscalers.learn(&served.kinds).await {
            tracing::warn!(managed_resource = %mr.key(), why, "cannot tell which workloads HorizontalPodAutoscalers scale");
        }
    }
}
