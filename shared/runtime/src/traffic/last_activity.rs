//! When the watch of ManagedResources was last heard of.
//!
//! A watch that is alive is never silent for long: the server sends a bookmark about once a minute, and ends the watch after a
//! few minutes. kube keeps both to itself, so they are noticed below it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_core::names;
use http::Request;
use tokio::time::Instant;

/// Clones share the time.
#[derive(Clone, Debug, Default)]
pub struct LastActivity(Arc<Mutex<Option<Instant>>>);

impl LastActivity {
    /// For how long nothing has been heard; `None` if never anything was.
    pub fn idle(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    pub(super) fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Whether a request begins a watch of ManagedResources.
pub(super) fn is_managed_resource_watch<B>(verb: &str, request: &Request<B>) -> bool {
    verb == "watch" && request.uri().path().rsplit('/').next() == Some(names::PLURAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_watch_of_managed_resources_counts() {
        let prefix = "/apis/resources.gardener.cloud/v1alpha1";
        for (path, expected) in [
            (format!("{prefix}/managedresources?watch=true"), true),
            (format!("{prefix}/namespaces/n/managedresources?&watch=true"), true),
            ("/api/v1/secrets?watch=true".to_owned(), false),
        ] {
            assert_eq!(is_managed_resource_watch("watch", &Request::get(&path).body(()).unwrap()), expected, "{path}");
            assert!(!is_managed_resource_watch("get", &Request::get(&path).body(()).unwrap()));
        }
    }
}
