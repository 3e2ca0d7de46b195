//! CustomResourceDefinitions.
use std::fmt;

use serde_json::{Value, json};

/// A CustomResourceDefinition: namespaced, with the version `v1` that takes any fields, unless something else is said.
#[derive(Clone, Debug)]
#[must_use]
pub struct Definition {
    group: String,
    kind: String,
    plural: String,
    scope: &'static str,
    versions: Vec<(String, bool)>,
    schema: Value,
    subresources: Value,
    conversion: Value,
}

impl Definition {
    /// Of a kind `Widget` with the plural `widgets`.
    pub fn new(group: &str, kind: &str) -> Self {
        Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
            scope: "Namespaced",
            versions: vec![("v1".to_owned(), true)],
            schema: any_fields(),
            subresources: Value::Null,
            conversion: Value::Null,
        }
    }

    /// Objects without a namespace.
    pub fn cluster_scoped(mut self) -> Self {
        self.scope = "Cluster";
        self
    }

    /// Versions, each with whether it is served. The last one that is served is stored.
    pub fn versions(mut self, versions: &[(&str, bool)]) -> Self {
        self.versions = versions.iter().map(|(name, is_served)| ((*name).to_owned(), *is_served)).collect();
        self
    }

    /// The schema of all versions.
    pub fn schema(mut self, schema: Value) -> Self {
        self.schema = schema;
        self
    }

    /// The schema of all versions: an object with these fields in its spec.
    pub fn spec(self, properties: &Value) -> Self {
        self.schema(json!({
            "type": "object", "properties": {"spec": {"type": "object", "properties": properties}},
        }))
    }

    /// The subresources of all versions.
    pub fn subresources(mut self, subresources: Value) -> Self {
        self.subresources = subresources;
        self
    }

    /// How versions are converted.
    pub fn conversion(mut self, conversion: Value) -> Self {
        self.conversion = conversion;
        self
    }

    fn names(&self) -> Value {
        let (singular, list) = (self.kind.to_lowercase(), format!("{}List", self.kind));
        json!({"plural": self.plural, "singular": singular, "kind": self.kind, "listKind": list})
    }

    /// The name of the definition.
    pub fn name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// The object.
    pub fn object(&self) -> Value {
        let stored = self.versions.iter().rposition(|(_, is_served)| *is_served);
        let version = |(position, (name, is_served)): (usize, &(String, bool))| {
            let mut version = json!({
                "name": name, "served": is_served, "storage": Some(position) == stored,
                "schema": {"openAPIV3Schema": self.schema},
            });
            if !self.subresources.is_null() {
                version["subresources"] = self.subresources.clone();
            }
            version
        };
        let mut object = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": self.name()},
            "spec": {
                "group": self.group, "scope": self.scope, "names": self.names(),
                "versions": self.versions.iter().enumerate().map(version).collect::<Value>(),
            },
        });
        if !self.conversion.is_null() {
            object["spec"]["conversion"] = self.conversion.clone();
        }
        object
    }
}

/// A document of manifests.
impl fmt::Display for Definition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n---\n", self.object())
    }
}

/// The schema of an object with any fields.
pub fn any_fields() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
