//! The rights of the test users.
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_runtime::api::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde_json::{Value, json};

use crate::wait;

/// Gives alice all rights, and bob the right to read what the chart manages.
///
/// # Errors
/// The API server refuses for 30 s. (Right after its start it may: the built-in roles come a moment after readiness.)
pub(super) async fn grant(client: &kube::Client) -> Result<()> {
    let reader =
        json!([{"apiGroups": ["resources.gardener.cloud"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]);
    let objects = [
        binding("alice-is-cluster-admin", "cluster-admin", "alice"),
        binding("bob-may-view", "view", "bob"),
        role("managedresources-reader", &reader),
        binding("bob-may-read-managedresources", "managedresources-reader", "bob"),
    ];
    for object in &objects {
        wait::eventually("the test users' rights", Duration::from_secs(30), || apply(client, object)).await?;
    }
    Ok(())
}

fn role(name: &str, rules: &Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}

fn binding(name: &str, role: &str, user: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    })
}

async fn apply(client: &kube::Client, object: &Value) -> Result<()> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let kind = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", text("/kind"));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let name = text("/metadata/name");
    let parameters = PatchParams::apply("holdfast-testbed").force();
    api.patch(name, &parameters, &Patch::Apply(object))
        .await
        .with_context(|| format!("apply {} {name}", text("/kind")))?;
    Ok(())
}
