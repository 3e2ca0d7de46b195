//! Events of this webhook. Best effort: what they tell is also in the API server's audit log and in our metrics.

use holdfast_runtime::call::call;
use holdfast_runtime::events::{LIMIT, Notice, Publisher, Series};
use kube::Client;
use kube::runtime::events::EventType;

/// Limited Events on their way at a time; more are dropped.
const IN_FLIGHT: usize = 16;

/// Publishes as this webhook.
pub(crate) fn publisher(client: Client) -> Publisher {
    Publisher::new(client, "holdfast-webhook", IN_FLIGHT)
}

/// A warning.
pub(crate) fn warning(reason: &'static str, action: &'static str, note: String, series: Series) -> Notice {
    Notice { type_: EventType::Warning, reason: reason.to_owned(), action, note, series }
}

/// Publishes in the background. A failure is logged.
pub(crate) fn send(reason: &'static str, request: impl Future<Output = kube::Result<()>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = call(LIMIT, "publish an Event", request).await {
            tracing::warn!(%error, reason, "an Event was not published");
        }
    });
}
