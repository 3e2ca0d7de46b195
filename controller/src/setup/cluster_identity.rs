//! The identity of the source cluster: the prefix of origin annotations.

use holdfast_core::names::{self, ClusterId};
use holdfast_runtime::{
    api::Api,
    call::{DEFAULT_LIMIT, call},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;

/// What `setting` comes to, which may mean what a ConfigMap says.
///
/// # Errors
/// It says nothing and is needed, or cannot be read.
pub async fn resolve(source: &Client, setting: &str) -> anyhow::Result<String> {
    let is_needed = match names::cluster_id(setting) {
        ClusterId::Given(identity) => return Ok(identity.to_owned()),
        ClusterId::Required => true,
        ClusterId::Optional => false,
    };
    let (namespace, name) = names::CLUSTER_IDENTITY;
    let api: Api<ConfigMap> = Api::namespaced(source.clone(), namespace);
    let what = format!("get ConfigMap {namespace}/{name} for --cluster-id={setting}");
    let found = call(DEFAULT_LIMIT, what, api.get_opt(name)).await?;
    let identity = found.and_then(|object| object.data?.remove(name)).filter(|identity| !identity.is_empty());
    match identity {
        Some(identity) => {
            tracing::info!(identity, "the identity of the source cluster, from ConfigMap {namespace}/{name}");
            Ok(identity)
        }
        None if is_needed => {
            anyhow::bail!(
                "--cluster-id={setting} needs ConfigMap {namespace}/{name} with the key {name}, which says nothing"
            )
        }
        None => Ok(String::new()),
    }
}
