//! Reads the Secrets that a ManagedResource references.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use holdfast_core::key::NamespacedName;
use holdfast_runtime::api::Api;
use holdfast_runtime::call::{CallError, call};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;

use super::manifests::Data;

/// Shorter than the deadline of a review, so that the answer can name the Secret that was slow.
const LIMIT: Duration = Duration::from_millis(1500);

/// Reads one Secret: its data, or `None` if it does not exist.
pub trait SecretReader: Send + Sync {
    ///
    /// # Errors
    /// One line for the user.
    fn read<'a>(&'a self, secret: &'a NamespacedName) -> BoxFuture<'a, Result<Option<Data>, String>>;
}

/// Reads from the cluster.
pub struct ClusterReader(pub Client);

impl SecretReader for ClusterReader {
    fn read<'a>(&'a self, secret: &'a NamespacedName) -> BoxFuture<'a, Result<Option<Data>, String>> {
        async move {
            let api: Api<Secret> = Api::namespaced(self.0.clone(), &secret.namespace);
            let found = call(LIMIT, format!("get Secret {secret}"), api.get_opt(&secret.name)).await;
            let found = found.map_err(|error: CallError| error.to_string())?;
            Ok(found
                .map(|secret| secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()))
        }
        .boxed()
    }
}
