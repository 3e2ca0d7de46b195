//! Applying desired objects, wave by wave.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream};
use holdfast_core::{api::ManagedResource, drift::State};
use tokio::time::Instant;

use crate::{
    discover::Snapshot,
    events::Reason,
    execute::{self, ApplyError},
    load::Loaded,
    metrics,
    reconcile::Reconciler,
};

/// How long kinds of a new CustomResourceDefinition may take to be served before the pass goes on without them.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(10);
const ESTABLISH_INTERVAL: Duration = Duration::from_millis(50);

impl Reconciler {
    /// Applies some of the desired objects side by side. One that fails stops no other.
    pub(crate) async fn apply(
        &self,
        mr: &ManagedResource,
        loaded: &Loaded,
        snapshot: &Snapshot,
        positions: &[usize],
    ) -> BTreeMap<usize, String> {
        let jobs: Vec<_> = positions.iter().map(|position| self.apply_at(loaded, snapshot, *position)).collect();
        let results = stream::iter(jobs).buffer_unordered(self.width);
        let mut failures = BTreeMap::new();
        let mut repaired = Vec::new();
        let mut results = std::pin::pin!(results);
        while let Some((position, result)) = results.next().await {
            let Some(object) = loaded.desired.get(position) else { continue };
            match result {
                Ok(State::Drifted | State::Missing) => repaired.push(object.key.to_string()),
                Ok(_) => {}
                Err(error) => {
                    self.metrics.apply_failures.inc();
                    let source = &object.source;
                    let text = format!(
                        "{} (Secret {}, key {:?}, document {}): {}",
                        object.key,
                        source.secret,
                        source.key,
                        source.document,
                        error.words(&object.key)
                    );
                    tracing::warn!(managed_resource = %mr.key(), "cannot apply {text}");
                    failures.insert(position, text);
                }
            }
        }
        if !repaired.is_empty() {
            tracing::info!(managed_resource = %mr.key(), objects = repaired.join(", "), "repaired");
            self.events.publish(
                mr,
                Reason::Repaired,
                &format!("Put right after others changed or deleted it: {}", repaired.join(", ")),
            );
        }
        failures
    }

    async fn apply_at(
        &self,
        loaded: &Loaded,
        snapshot: &Snapshot,
        position: usize,
    ) -> (usize, Result<State, ApplyError>) {
        (position, self.apply_one(loaded, snapshot, position).await)
    }

    /// Applies one object; returns how it stood before, in sync if nothing had to be written.
    async fn apply_one(&self, loaded: &Loaded, snapshot: &Snapshot, position: usize) -> Result<State, ApplyError> {
        let Some(object) = loaded.desired.get(position) else { return Ok(State::InSync) };
        let digest = loaded.digest(position);
        let before = self.world.state(&object.key, digest);
        let info = snapshot.kinds.get(&object.gvk);
        // A permit is never refused: the semaphore is not closed.
        let _permit = self.requests.acquire().await;
        let uid = self.world.uid(&object.key);
        let mut result = execute::apply(&self.target, info, object, uid.clone()).await;
        if uid.is_some() && result.as_ref().is_err_and(ApplyError::is_uid_conflict) {
            self.world.forget(&object.key);
            result = execute::apply(&self.target, info, object, None).await;
        }
        if !self.world.applied(&object.key, digest, result?) {
            // A change that does not concern us, such as a foreign annotation; now we know.
            return Ok(State::InSync);
        }
        let cause = match before {
            State::Drifted => Some("changed"),
            State::Missing => Some("deleted"),
            _ => None,
        };
        if let Some(cause) = cause {
            self.metrics.repairs.get_or_create(&metrics::Cause { cause }).inc();
        }
        Ok(before)
    }

    /// Waits until the kinds of new CustomResourceDefinitions are served.
    pub(crate) async fn established(&self, loaded: &Loaded, definitions: &[usize], mut snapshot: Snapshot) -> Snapshot {
        let names: Vec<&str> = definitions
            .iter()
            .filter_map(|position| loaded.desired.get(*position))
            .map(|object| object.key.name.as_str())
            .collect();
        let deadline = Instant::now() + ESTABLISH_LIMIT;
        for name in names {
            while Instant::now() < deadline {
                match execute::is_established(&self.target, name).await {
                    Ok(false) => tokio::time::sleep(ESTABLISH_INTERVAL).await,
                    Ok(true) => break,
                    Err(error) => {
                        tracing::warn!(definition = name, %error, "cannot tell whether the CustomResourceDefinition is established");
                        break;
                    }
                }
            }
        }
        let is_missing =
            |snapshot: &Snapshot| loaded.desired.iter().any(|object| snapshot.kinds.get(&object.gvk).is_none());
        while is_missing(&snapshot) && Instant::now() < deadline {
            match self.discoverer.refresh_now().await {
                Ok(newer) => snapshot = newer,
                Err(error) => tracing::warn!(%error, "cannot tell what is served"),
            }
            if is_missing(&snapshot) {
                tokio::time::sleep(ESTABLISH_INTERVAL * 4).await;
            }
        }
        snapshot
    }
}
