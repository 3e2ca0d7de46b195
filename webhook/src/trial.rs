//! Events about what would be refused, while we only watch (`--audit-only`).
//!
//! Best effort and rate-limited: what was decided is also in the API server's audit log, in our metrics and in the warning
//! that the user saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::api::ManagedResource;
use holdfast_core::key::NamespacedName;
use holdfast_core::protect::{Decision, Verdict};
use holdfast_runtime::index::SharedIndex;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::review::Request;

/// At most one Event on a ManagedResource in this time.
const INTERVAL: Duration = Duration::from_secs(10);
/// Events on their way at a time; more are dropped.
const IN_FLIGHT: usize = 16;
const LIMIT: Duration = Duration::from_secs(5);
/// The API's limit is 1,024 bytes.
const MAX_NOTE: usize = 1000;
const REASON: &str = "WouldDeny";

/// Publishes Events on ManagedResources.
pub struct Trial {
    recorder: Recorder,
    slots: Arc<Semaphore>,
    last: Mutex<BTreeMap<NamespacedName, Instant>>,
}

impl Trial {
    /// Publishes as this webhook.
    pub fn new(client: Client) -> Self {
        let reporter = Reporter { controller: "holdfast-webhook".into(), instance: std::env::var("POD_NAME").ok() };
        Self {
            recorder: Recorder::new(client, reporter),
            slots: Arc::new(Semaphore::new(IN_FLIGHT)),
            last: Mutex::default(),
        }
    }

    /// Publishes in the background what would have been refused, unless nothing would have been stored anyway.
    pub(crate) fn tell(&self, request: &Request, verdict: &Verdict, index: &SharedIndex) {
        let Verdict::Allow { warnings, audit } = verdict else { return };
        if verdict.decision() != Some(Decision::WouldDeny) || request.dry_run == Some(true) {
            return;
        }
        let Some((namespace, name)) = audit.get("managed-resource").and_then(|key| key.split_once('/')) else { return };
        let key = NamespacedName::new(namespace, name);
        let Some(uid) = index.read(|index| index?.get(&key)?.uid.clone()) else { return };
        let Some(slot) = self.slot(&key) else { return };
        let note = shortened(&format!("{}: {}", request.user_info.username, warnings.join("; ")));
        let event = Event {
            type_: EventType::Warning,
            reason: REASON.to_owned(),
            note: Some(note),
            action: "Admit".to_owned(),
            secondary: None,
        };
        let (recorder, reference) = (self.recorder.clone(), reference(key, &uid));
        tokio::spawn(async move {
            let _slot = slot;
            match tokio::time::timeout(LIMIT, recorder.publish(&event, &reference)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "an Event was not published"),
                Err(_) => tracing::debug!("an Event was not published in time"),
            }
        });
    }

    /// Whether it is time for an Event on this ManagedResource, and there is room for one.
    fn slot(&self, key: &NamespacedName) -> Option<impl Send + use<>> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| at.elapsed() < INTERVAL);
        last.insert(key.clone(), Instant::now()).is_none().then_some(slot)
    }
}

fn reference(key: NamespacedName, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(ManagedResource::api_version(&()).into_owned()),
        kind: Some(ManagedResource::kind(&()).into_owned()),
        namespace: Some(key.namespace),
        name: Some(key.name),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

fn shortened(note: &str) -> String {
    if note.len() <= MAX_NOTE {
        return note.to_owned();
    }
    let cut = (0..=MAX_NOTE).rev().find(|at| note.is_char_boundary(*at)).unwrap_or_default();
    format!("{}…", &note[..cut])
}
