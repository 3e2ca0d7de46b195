//! Applying desired objects, wave by wave.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream};
use holdfast_core::{api::ManagedResource, drift::State};
use tokio::time::Instant;

use crate::{discover::Snapshot, events::Reason, execute, load::Loaded, reconcile::Reconciler};

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
        let jobs: Vec<_> =
            positions.iter().map(|position| self.hold_at(loaded, snapshot, *position, mr.scope())).collect();
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
                match execute::is_established(&self.gate, &self.target, name).await {
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
