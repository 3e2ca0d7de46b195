//! What goes wrong with the watch of ManagedResources, in words for whoever runs us.

use holdfast_core::names;
use kube::runtime::watcher;

use crate::call::{explain, is_transient};
use crate::reminder::Reminder;

/// Logs errors of [`crate::watch::managed_resources`], each kind once at first and then every half a minute.
#[derive(Debug, Default)]
pub struct WatchErrors(Reminder);

impl WatchErrors {
    /// An error came.
    pub fn report(&mut self, error: &watcher::Error) {
        let (text, is_expected) = describe(error);
        if is_expected {
            tracing::debug!(error = text, "the watch of ManagedResources restarts");
        } else {
            self.0.warn(&text);
        }
    }

    /// An event came.
    pub fn is_over(&mut self) {
        if self.0.clear() {
            tracing::info!("ManagedResources can be read again");
        }
    }
}

/// A line for people, and whether this is part of ordinary life (the server ended the watch or forgot its beginning).
fn describe(error: &watcher::Error) -> (String, bool) {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    let (code, text) = match error {
        InitialListFailed(cause @ kube::Error::Api(status)) | WatchStartFailed(cause @ kube::Error::Api(status)) => {
            (status.code, explain(cause))
        }
        WatchFailed(cause) => return (explain(cause), is_transient(cause)),
        InitialListFailed(cause) | WatchStartFailed(cause) => (0, explain(cause)),
        WatchError(status) => (status.code, status.message.clone()),
        NoResourceVersion => (0, error.to_string()),
    };
    let (plural, group) = (names::PLURAL, names::GROUP);
    match code {
        404 => {
            (format!("the CustomResourceDefinition {plural}.{group} is not installed in the cluster; waiting"), false)
        }
        401 | 403 => (format!("no permission to read ManagedResources; waiting: {text}"), false),
        410 => (text, true),
        _ => (format!("cannot read ManagedResources; trying again: {text}"), false),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn errors_say_what_is_missing() {
        let api = |code, message: &str| {
            watcher::Error::InitialListFailed(kube::Error::Api(
                Status { code, message: message.to_owned(), ..Status::default() }.boxed(),
            ))
        };
        let missing = "the CustomResourceDefinition managedresources.resources.gardener.cloud is not installed in the cluster; waiting";
        assert_eq!(describe(&api(404, "404 page not found")), (missing.to_owned(), false));
        let (text, expected) = describe(&api(403, "User \"x\" cannot list resource \"managedresources\""));
        assert!(text.ends_with("User \"x\" cannot list resource \"managedresources\"") && !expected, "{text}");
        assert!(describe(&api(410, "too old")).1);
    }
}
