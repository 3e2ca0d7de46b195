//! What the target serves, asked again when a kind is unknown.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_core::{
    discovery::{ApiInfo, Discovery},
    key::Gvk,
};
use holdfast_runtime::call::{CallError, call};
use kube::{Client, core::discovery::Scope};
use tokio::time::Instant;

/// Kinds are not asked for more often than this, however many are unknown.
const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// Discovery of a cluster with many CRDs takes a while.
const LIMIT: Duration = Duration::from_secs(20);

/// The latest snapshot. Its number grows with each new one that differs.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The kinds.
    pub kinds: Arc<Discovery>,
    /// Number of the snapshot; 0 before the first.
    pub number: u64,
}

/// Holds the latest snapshot.
pub struct Discoverer {
    client: Client,
    latest: Mutex<Snapshot>,
    refreshing: tokio::sync::Mutex<Option<Instant>>,
}

impl Discoverer {
    /// Knows nothing yet.
    pub fn new(client: Client) -> Self {
        Self { client, latest: Mutex::default(), refreshing: tokio::sync::Mutex::default() }
    }

    /// The latest snapshot; asks the server if there is none.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn current(&self) -> Result<Snapshot, CallError> {
        let latest = self.latest();
        if latest.number > 0 { Ok(latest) } else { self.refresh().await }
    }

    /// Asks the server, unless it was asked a moment ago.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn refresh(&self) -> Result<Snapshot, CallError> {
        let mut last = self.refreshing.lock().await;
        if last.is_some_and(|at| at.elapsed() < MIN_INTERVAL) {
            return Ok(self.latest());
        }
        self.ask(&mut last).await
    }

    /// Asks the server now: a kind was added just before.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn refresh_now(&self) -> Result<Snapshot, CallError> {
        let mut last = self.refreshing.lock().await;
        self.ask(&mut last).await
    }

    async fn ask(&self, last: &mut Option<Instant>) -> Result<Snapshot, CallError> {
        let discovery = kube::Discovery::new(self.client.clone()).run_aggregated();
        let found = call(LIMIT, "discover what the target cluster serves", discovery).await?;
        let mut kinds = Discovery::default();
        for group in found.groups() {
            let preferred = group.preferred_version_or_latest();
            let others = group.versions().filter(|version| *version != preferred);
            for version in std::iter::once(preferred).chain(others) {
                for (resource, capabilities) in group.versioned_resources(version) {
                    let info = ApiInfo {
                        plural: resource.plural,
                        namespaced: capabilities.scope == Scope::Namespaced,
                        status_subresource: capabilities
                            .subresources
                            .iter()
                            .any(|(subresource, _)| subresource.plural.ends_with("status")),
                    };
                    kinds.insert(Gvk { group: resource.group, version: resource.version, kind: resource.kind }, info);
                }
            }
        }
        *last = Some(Instant::now());
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if *latest.kinds != kinds {
            *latest = Snapshot { kinds: Arc::new(kinds), number: latest.number + 1 };
        }
        Ok(latest.clone())
    }

    fn latest(&self) -> Snapshot {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
