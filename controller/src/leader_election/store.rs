//! The Lease in the cluster: three calls.

use std::time::Duration;

use holdfast_runtime::{
    api::Api,
    call::{CallError, call},
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::PostParams;

/// Where one Lease lies. A trait, because the races of an election cannot be produced on demand with a real API server.
pub trait LeaseStore: Send + Sync + 'static {
    /// `namespace/name`, for people.
    fn describe(&self) -> String;

    /// Reads it as it is now, not from a cache; `None` if it does not exist.
    fn get(&self, limit: Duration) -> impl Future<Output = Result<Option<Lease>, CallError>> + Send;

    /// Creates it. 409 if it exists.
    fn create(&self, lease: &Lease, limit: Duration) -> impl Future<Output = Result<Lease, CallError>> + Send;

    /// Replaces it if it still is what `lease`, as it was answered, shows by its uid and resourceVersion; 409 otherwise.
    fn replace(&self, lease: &Lease, limit: Duration) -> impl Future<Output = Result<Lease, CallError>> + Send;
}

/// A Lease in a cluster.
#[derive(Clone, Debug)]
pub struct ClusterLease {
    api: Api<Lease>,
    namespace: String,
    name: String,
}

impl ClusterLease {
    /// The Lease of this name. Sends nothing.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} Lease {}", self.describe())
    }
}

impl LeaseStore for ClusterLease {
    fn describe(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    async fn get(&self, limit: Duration) -> Result<Option<Lease>, CallError> {
        // No resourceVersion is asked for, which makes it a read from etcd.
        call(limit, self.what("get"), self.api.get_opt(&self.name)).await
    }

    async fn create(&self, lease: &Lease, limit: Duration) -> Result<Lease, CallError> {
        let mut lease = lease.clone();
        lease.metadata.name = Some(self.name.clone());
        call(limit, self.what("create"), self.api.create(&PostParams::default(), &lease)).await
    }

    async fn replace(&self, lease: &Lease, limit: Duration) -> Result<Lease, CallError> {
        // `lease` comes from an answer and so has a resourceVersion; Leases without one are refused by the server.
        call(limit, self.what("replace"), self.api.replace(&self.name, &PostParams::default(), lease)).await
    }
}
