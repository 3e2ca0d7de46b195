//! Kubernetes Events on ManagedResources: what an operator wants to see in `kubectl describe`.
//!
//! Best effort and rate-limited: a lost Event loses nothing, conditions, metrics and audit logs say how things stand. Nothing is
//! sent from here: whoever publishes awaits the request in its own way, within [`LIMIT`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use holdfast_core::key::NamespacedName;
use holdfast_core::{names, text};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// An Event that takes longer is lost.
pub const LIMIT: Duration = Duration::from_secs(5);
/// At most one Event of a reason on a ManagedResource in this time.
const INTERVAL: Duration = Duration::from_secs(10);
/// Longest note, in bytes. The API's limit is 1,024.
const LONGEST_NOTE: usize = 1000;

/// What an Event says.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Whether it is a warning.
    pub type_: EventType,
    /// Why, in one word.
    pub reason: String,
    /// What we were doing, in one word.
    pub action: &'static str,
    /// For people; cut after 1,000 bytes.
    pub note: String,
    /// What later Events of the same reason are.
    pub series: Series,
}

/// What becomes of several Events of one reason on one ManagedResource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// Later ones are counted as repetitions of the first one, and their notes are dropped.
    Counted,
    /// Each stands for itself, with its note.
    Separate,
}

/// Makes the requests that publish Events.
pub struct Publisher {
    client: Client,
    reporter: Reporter,
    recorder: Recorder,
    throttle: Throttle,
}

impl Publisher {
    /// Publishes as `controller`, of limited Events at most `in_flight` at a time.
    pub fn new(client: Client, controller: &str, in_flight: usize) -> Self {
        let reporter = Reporter { controller: controller.into(), instance: std::env::var("POD_NAME").ok() };
        let recorder = Recorder::new(client.clone(), reporter.clone());
        Self { client, reporter, recorder, throttle: Throttle::new(in_flight) }
    }

    /// The request that publishes an Event, whatever was published before.
    pub fn always(
        &self,
        mr: &NamespacedName,
        uid: Option<&str>,
        notice: Notice,
    ) -> BoxFuture<'static, kube::Result<()>> {
        let recorder = match notice.series {
            Series::Counted => self.recorder.clone(),
            Series::Separate => Recorder::new(self.client.clone(), self.reporter.clone()),
        };
        let regarding = regarding(mr, uid);
        let event = notice.into_event();
        async move { recorder.publish(&event, &regarding).await }.boxed()
    }

    /// As [`Publisher::always`]; nothing if there was an Event of this reason on this ManagedResource within ten seconds, or
    /// too many are on their way. What is returned counts as on its way until it is dropped.
    pub fn limited(
        &self,
        mr: &NamespacedName,
        uid: Option<&str>,
        notice: Notice,
    ) -> Option<BoxFuture<'static, kube::Result<()>>> {
        let slot = self.throttle.slot(mr, &notice.reason)?;
        let request = self.always(mr, uid, notice);
        let counted = async move {
            let _slot = slot;
            request.await
        };
        Some(counted.boxed())
    }
}

impl Notice {
    fn into_event(self) -> Event {
        Event {
            type_: self.type_,
            reason: self.reason,
            note: Some(shortened(self.note)),
            action: self.action.to_owned(),
            secondary: None,
        }
    }
}

fn regarding(mr: &NamespacedName, uid: Option<&str>) -> ObjectReference {
    ObjectReference {
        api_version: Some(format!("{}/{}", names::GROUP, names::VERSION)),
        kind: Some("ManagedResource".to_owned()),
        namespace: Some(mr.namespace.clone()),
        name: Some(mr.name.clone()),
        uid: uid.map(ToOwned::to_owned),
        ..ObjectReference::default()
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        note.truncate(text::start(&note, LONGEST_NOTE).len());
        note.push('…');
    }
    note
}

/// How many Events there may be.
struct Throttle {
    slots: Arc<Semaphore>,
    last: Mutex<BTreeMap<(NamespacedName, String), Instant>>,
}

impl Throttle {
    fn new(in_flight: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(in_flight)), last: Mutex::default() }
    }

    /// Room for an Event, if it is time for one of this reason. What gets none does not put off the next one.
    fn slot(&self, mr: &NamespacedName, reason: &str) -> Option<OwnedSemaphorePermit> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let key = (mr.clone(), reason.to_owned());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| at.elapsed() < INTERVAL);
        if last.contains_key(&key) {
            return None;
        }
        last.insert(key, Instant::now());
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::api::ManagedResource;
    use kube::Resource as _;
    use serde_json::json;

    use super::*;

    fn mr(name: &str) -> NamespacedName {
        NamespacedName::new("n", name)
    }

    #[tokio::test(start_paused = true)]
    async fn one_event_of_a_reason_on_a_managed_resource_in_ten_seconds() {
        let throttle = Throttle::new(100);
        let is_due = |name, reason| throttle.slot(&mr(name), reason).is_some();
        assert!(is_due("a", "Applied"));
        assert!(!is_due("a", "Applied"), "too soon");
        assert!(is_due("a", "Pruned") && is_due("b", "Applied"), "another reason, another ManagedResource");
        // Those that come too soon do not put off the next one.
        for _ in 0..9 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!is_due("a", "Applied"));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(is_due("a", "Applied"), "ten seconds after the first");
    }

    #[tokio::test(start_paused = true)]
    async fn events_beyond_those_on_their_way_are_dropped() {
        let throttle = Throttle::new(1);
        let slot = throttle.slot(&mr("a"), "Applied").unwrap();
        assert!(throttle.slot(&mr("b"), "Applied").is_none(), "the only place is taken");
        drop(slot);
        assert!(throttle.slot(&mr("b"), "Applied").is_some(), "what was dropped does not count as published");
    }

    #[test]
    fn long_notes_are_cut_between_characters() {
        for (note, bytes) in [("a".repeat(1000), 1000), ("a".repeat(1001), 1000), ("a".repeat(999) + "éé", 999)] {
            let notice = Notice {
                type_: EventType::Normal,
                reason: "Applied".to_owned(),
                action: "Reconcile",
                note: note.clone(),
                series: Series::Counted,
            };
            let cut = notice.into_event().note.unwrap();
            let rest = cut.strip_suffix('…').unwrap_or(&cut);
            assert!(note.starts_with(rest) && rest.len() == bytes, "{cut}");
            assert_eq!(cut.ends_with('…'), note.len() > 1000);
        }
    }

    #[test]
    fn an_event_regards_the_managed_resource() {
        let object = json!({"apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource",
            "metadata": {"namespace": "n", "name": "a", "uid": "7"}, "spec": {}});
        let object: ManagedResource = serde_json::from_value(object).unwrap();
        assert_eq!(regarding(&mr("a"), Some("7")), object.object_ref(&()));
    }
}
