//! What a ManagedResource desires now, read again only where something has changed.

use std::sync::Arc;

use holdfast_core::api::ManagedResource;
use holdfast_runtime::call::CallError;

use super::Reconciler;
use crate::{
    desired::{Loaded, Loader},
    target::discovery::Snapshot,
};

impl Reconciler {
    /// Manifests from the cache or from the Secrets. Asks what is served when a kind is unknown.
    ///
    /// # Errors
    /// The API server does not answer, or refuses.
    pub(crate) async fn load(
        &self,
        mr: &ManagedResource,
        mut snapshot: Snapshot,
    ) -> Result<(Arc<Loaded>, Snapshot), CallError> {
        let key = mr.key();
        let is_unknown = |loaded: &Loaded, snapshot: &Snapshot| {
            loaded.desired.iter().any(|object| snapshot.kinds.get(&object.gvk).is_none())
        };
        if let Some(loaded) = self.world.loaded(&key).filter(|loaded| loaded.is_current(mr, &self.marks, &snapshot)) {
            if is_unknown(&loaded, &snapshot) {
                // Another ManagedResource, or somebody else, may have brought the kind meanwhile.
                snapshot = self.discoverer.refresh().await?;
            }
            if loaded.is_current(mr, &self.marks, &snapshot) {
                return Ok((loaded, snapshot));
            }
        }
        let mut loaded = self.read(mr, &snapshot).await?;
        if is_unknown(&loaded, &snapshot) {
            let newer = self.discoverer.refresh().await?;
            if newer.number != snapshot.number {
                snapshot = newer;
                loaded = self.read(mr, &snapshot).await?;
            }
        }
        let loaded = Arc::new(loaded);
        if !loaded.is_denied {
            self.world.keep_loaded(&key, Arc::clone(&loaded));
        }
        Ok((loaded, snapshot))
    }

    async fn read(&self, mr: &ManagedResource, snapshot: &Snapshot) -> Result<Loaded, CallError> {
        let (key, decoders, unreadable) = (&self.digest_key, &self.decoders, &self.unreadable);
        let loader = Loader { mr, marks: &self.marks, snapshot, key, decoders, unreadable };
        let mr = mr.key();
        let before = self.world.last_loaded(&mr);
        let is_outdated = |secret: &str, version: Option<&str>| self.world.is_outdated(&mr, secret, version);
        let mut read = loader.load(&self.source, before.as_deref(), is_outdated).await?;
        read.scale(key, |object| self.world.is_autoscaled(object).unwrap_or_default());
        Ok(read)
    }

    /// Sees to it that it is known what autoscalers scale.
    pub(crate) async fn learn_autoscalers(&self, mr: &ManagedResource, snapshot: &Snapshot) {
        if let Err(why) = self.targets.autoscalers.learn(&snapshot.kinds).await {
            tracing::warn!(managed_resource = %mr.key(), why, "it is not known what HorizontalPodAutoscalers scale");
        }
    }
}
