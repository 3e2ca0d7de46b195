//! Events about what would be refused, while we only watch (`--audit-only`).
//!
//! Best effort and rate-limited: what was decided is also in the API server's audit log, in our metrics and in the warning
//! that the user saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::key::NamespacedName;
use holdfast_core::protect::{Decision, Verdict};
use holdfast_runtime::index::SharedIndex;
use kube::Client;
use kube::runtime::events::Recorder;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::review::Request;
use crate::events::{self, Happening};

/// At most one Event on a ManagedResource in this time.
const INTERVAL: Duration = Duration::from_secs(10);
/// Events on their way at a time; more are dropped.
const IN_FLIGHT: usize = 16;

/// Publishes Events on ManagedResources.
pub struct Trial {
    recorder: Recorder,
    slots: Arc<Semaphore>,
    last: Mutex<BTreeMap<NamespacedName, Instant>>,
}

impl Trial {
    /// Publishes as this webhook.
    pub fn new(client: Client) -> Self {
        Self { recorder: events::recorder(client), slots: Arc::new(Semaphore::new(IN_FLIGHT)), last: Mutex::default() }
    }

    /// Publishes in the background what would have been refused, unless nothing would have been stored anyway.
    pub(crate) fn tell(&self, request: &Request, verdict: &Verdict, index: &SharedIndex) {
        let Verdict::Allow { warnings, audit } = verdict else { return };
        if verdict.decision() != Some(Decision::WouldDeny) || request.dry_run == Some(true) {
            return;
        }
        // Of several, the first is told.
        let first = audit.get("managed-resource").and_then(|keys| keys.split(", ").next());
        let Some((namespace, name)) = first.and_then(|key| key.split_once('/')) else { return };
        let key = NamespacedName::new(namespace, name);
        let Some(uid) = index.read(|index| index?.get(&key)?.uid.clone()) else { return };
        let Some(slot) = self.slot(&key) else { return };
        let note = format!("{}: {}", request.user_info.username, warnings.join("; "));
        let recorder = self.recorder.clone();
        tokio::spawn(async move {
            let _slot = slot;
            let what = Happening { reason: "WouldDeny", action: "Admit", note };
            events::publish(&recorder, key, Some(&uid), what).await;
        });
    }

    /// Whether it is time for an Event on this ManagedResource, and there is room for one.
    fn slot(&self, key: &NamespacedName) -> Option<impl Send + use<>> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| at.elapsed() < INTERVAL);
        // An edit that comes too soon does not put off the next Event.
        if last.contains_key(key) {
            return None;
        }
        last.insert(key.clone(), Instant::now());
        Some(slot)
    }
}
