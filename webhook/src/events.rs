//! Events of this webhook. Best effort: what they say is also in the API server's audit log and in our metrics.

use std::sync::Arc;

use futures::future::BoxFuture;
use holdfast_core::key::NamespacedName;
use holdfast_runtime::call::call;
use holdfast_runtime::events::{LIMIT, Notice, Publisher, Series};
use kube::Client;
use kube::runtime::events::EventType;

/// Limited Events in flight; further ones are dropped.
const IN_FLIGHT: usize = 16;

/// Publishes warnings on ManagedResources in the background. Clones share the limit.
#[derive(Clone)]
pub struct Events(Arc<Publisher>);

/// Why an Event is published. The name is the Event's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A pause begins or is prolonged.
    Paused,
    /// A pause ends, or becomes shorter or smaller.
    Unpaused,
    /// An edit would be refused without audit-only operation.
    WouldDeny,
}

impl Reason {
    fn action(self) -> &'static str {
        match self {
            Self::Paused | Self::Unpaused => "Pause",
            Self::WouldDeny => "Admit",
        }
    }
}

/// A warning.
pub(crate) struct Warning {
    pub(crate) reason: Reason,
    pub(crate) note: String,
}

impl Events {
    /// Publishes as this webhook.
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Publisher::new(client, "holdfast-webhook", IN_FLIGHT)))
    }

    /// Publishes each warning with its note.
    pub(crate) fn publish_each(&self, mr: &NamespacedName, uid: Option<&str>, warning: Warning) {
        let reason = warning.reason;
        send(reason, self.0.always(mr, uid, warning.into_notice(Series::Separate)));
    }

    /// Publishes a warning now and then; counts repetitions, and drops what exceeds the limit.
    pub(crate) fn publish_limited(&self, mr: &NamespacedName, uid: Option<&str>, warning: Warning) {
        let reason = warning.reason;
        if let Some(request) = self.0.limited(mr, uid, warning.into_notice(Series::Counted)) {
            send(reason, request);
        }
    }
}

impl Warning {
    fn into_notice(self, series: Series) -> Notice {
        let Self { reason, note } = self;
        Notice { type_: EventType::Warning, reason: format!("{reason:?}"), action: reason.action(), note, series }
    }
}

fn send(reason: Reason, request: BoxFuture<'static, kube::Result<()>>) {
    tokio::spawn(async move {
        if let Err(error) = call(LIMIT, "publish an Event", request).await {
            tracing::warn!(%error, ?reason, "an Event was not published");
        }
    });
}
