//! ManagedResources as JSON, and as whatever type is read from it.
use crate::merge;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A ManagedResource of the namespace `n` that references the Secret `s`.
#[derive(Clone, Debug)]
#[must_use]
pub struct ManagedResource(Value);

/// The ManagedResource `n/<name>` with the Secret `s`.
pub fn managed_resource(name: &str) -> ManagedResource {
    ManagedResource(json!({
        "apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource",
        "metadata": {"namespace": "n", "name": name}, "spec": {"secretRefs": [{"name": "s"}]},
    }))
}

impl ManagedResource {
    /// Changes its fields as a merge patch does: an object is merged, anything else replaces what was there.
    pub fn with(mut self, fields: &Value) -> Self {
        merge(&mut self.0, fields);
        self
    }

    /// Changes fields of its metadata.
    pub fn metadata(self, fields: &Value) -> Self {
        self.with(&json!({"metadata": fields}))
    }

    /// Changes fields of its spec.
    pub fn spec(self, fields: &Value) -> Self {
        self.with(&json!({"spec": fields}))
    }

    /// Its Secrets.
    pub fn secrets(self, names: &[&str]) -> Self {
        let references: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        self.spec(&json!({"secretRefs": references}))
    }

    /// Adds an entry to its inventory, from the first Secret.
    pub fn entry(mut self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let secret = self.0.pointer("/spec/secretRefs/0/name").and_then(Value::as_str).unwrap_or_default();
        let entry = json!({
            "apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name,
            "resource": format!("{}s", kind.to_lowercase()), "source": format!("{secret}/k"),
        });
        let mut entries = self.0["status"]["resources"].as_array().cloned().unwrap_or_default();
        entries.push(entry);
        self.0["status"]["resources"] = entries.into();
        self
    }

    /// Reads it as this type.
    ///
    /// # Panics
    /// The type cannot be read from it.
    #[allow(clippy::expect_used, reason = "a fixture that is wrong fails the test")]
    pub fn read<T: DeserializeOwned>(self) -> T {
        serde_json::from_value(self.0).expect("read a ManagedResource")
    }
}
