//! Events on ManagedResources. Best effort: what they tell is also in the API server's audit log and in our metrics.

use std::time::Duration;

use holdfast_core::key::NamespacedName;
use holdfast_core::names;
use holdfast_runtime::call::call;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// An Event that takes longer is lost.
const LIMIT: Duration = Duration::from_secs(5);
/// The API's limit is 1,024 bytes.
const LONGEST_NOTE: usize = 1000;

/// Publishes as this webhook. It takes later Events of the same reason for repetitions, and drops their notes.
pub(crate) fn recorder(client: Client) -> Recorder {
    let reporter = Reporter { controller: "holdfast-webhook".into(), instance: std::env::var("POD_NAME").ok() };
    Recorder::new(client, reporter)
}

/// What happened.
pub(crate) struct Happening {
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) note: String,
}

/// Publishes a warning about a ManagedResource. A failure is logged.
pub(crate) async fn publish(recorder: &Recorder, mr: NamespacedName, uid: Option<&str>, what: Happening) {
    let reference = ObjectReference {
        api_version: Some(format!("{}/{}", names::GROUP, names::VERSION)),
        kind: Some("ManagedResource".to_owned()),
        namespace: Some(mr.namespace),
        name: Some(mr.name),
        uid: uid.map(ToOwned::to_owned),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: EventType::Warning,
        reason: what.reason.to_owned(),
        note: Some(shortened(what.note)),
        action: what.action.to_owned(),
        secondary: None,
    };
    let published = call(LIMIT, "publish an Event".to_owned(), recorder.publish(&event, &reference)).await;
    if let Err(error) = published {
        tracing::warn!(%error, reason = what.reason, "an Event was not published");
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        let cut = (0..=LONGEST_NOTE).rev().find(|at| note.is_char_boundary(*at)).unwrap_or_default();
        note.truncate(cut);
        note.push('…');
    }
    note
}
