//! ConfigMaps, Secrets and claims that the pods of workloads reference. The pods need them until they have ended.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Claims;
use crate::key::ObjectKey;

/// Objects that the pod templates of some workloads reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodReferences {
    objects: BTreeSet<ObjectKey>,
    /// Claims of StatefulSets, with their namespaces.
    claims: Vec<(String, Claims)>,
    /// Namespaces with workloads whose templates are unreadable. These may reference anything in the namespace.
    unknown: BTreeSet<String>,
}

impl PodReferences {
    /// Adds the references of a workload, as read from the server.
    pub fn add(&mut self, workload: &Value) {
        let namespace = workload["metadata"]["namespace"].as_str().unwrap_or_default();
        // This also covers a Pod, and the template of a CronJob's Job.
        self.walk(namespace, &workload["spec"]);
        self.claims.extend(Claims::of(workload).map(|claims| (namespace.to_owned(), claims)));
    }

    /// Adds a workload in this namespace that could not be read.
    pub fn add_unknown(&mut self, namespace: &str) {
        self.unknown.insert(namespace.to_owned());
    }

    /// Whether a pod may need the object.
    pub fn contains(&self, object: &ObjectKey) -> bool {
        let is_claim = |(namespace, claims): &(String, Claims)| {
            object.kind() == "PersistentVolumeClaim"
                && object.namespace() == namespace
                && claims.contains(object.name())
        };
        is_nameable(object)
            && (self.objects.contains(object)
                || self.unknown.contains(object.namespace())
                || self.claims.iter().any(is_claim))
    }

    /// Collects references. A pod spec references such objects only through these field names.
    fn walk(&mut self, namespace: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    match field.as_str() {
                        "configMap" | "configMapRef" | "configMapKeyRef" => {
                            self.name(namespace, "ConfigMap", &value["name"]);
                        }
                        "secret" | "secretRef" | "secretKeyRef" | "nodePublishSecretRef" => {
                            self.name(namespace, "Secret", &value["name"]);
                        }
                        "secretName" => self.name(namespace, "Secret", value),
                        "imagePullSecrets" => {
                            let names = value.as_array().into_iter().flatten();
                            names.for_each(|named| self.name(namespace, "Secret", &named["name"]));
                        }
                        "claimName" => self.name(namespace, "PersistentVolumeClaim", value),
                        _ => {}
                    }
                    self.walk(namespace, value);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.walk(namespace, value)),
            _ => {}
        }
    }

    fn name(&mut self, namespace: &str, kind: &str, name: &Value) {
        if let Some(name) = name.as_str() {
            self.objects.insert(ObjectKey::new("", kind, namespace, name));
        }
    }
}

/// Whether pod templates can reference objects of this kind.
pub(super) fn is_nameable(object: &ObjectKey) -> bool {
    object.group().is_empty() && matches!(object.kind(), "ConfigMap" | "Secret" | "PersistentVolumeClaim")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_to_name_an_object_counts() {
        let container = |more: Value| json!({"containers": [more]});
        let volume = |more: Value| json!({"volumes": [more]});
        for (spec, kind) in [
            (volume(json!({"name": "v", "configMap": {"name": "x"}})), "ConfigMap"),
            (volume(json!({"name": "v", "secret": {"secretName": "x"}})), "Secret"),
            (volume(json!({"name": "v", "persistentVolumeClaim": {"claimName": "x"}})), "PersistentVolumeClaim"),
            (volume(json!({"name": "v", "projected": {"sources": [{"configMap": {"name": "x"}}]}})), "ConfigMap"),
            (volume(json!({"name": "v", "projected": {"sources": [{"secret": {"name": "x"}}]}})), "Secret"),
            (volume(json!({"name": "v", "csi": {"nodePublishSecretRef": {"name": "x"}}})), "Secret"),
            (volume(json!({"name": "v", "cephfs": {"secretRef": {"name": "x"}}})), "Secret"),
            (
                container(json!({"env": [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}]})),
                "ConfigMap",
            ),
            (
                container(json!({"env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]})),
                "Secret",
            ),
            (container(json!({"envFrom": [{"configMapRef": {"name": "x"}}]})), "ConfigMap"),
            (container(json!({"envFrom": [{"secretRef": {"name": "x"}}]})), "Secret"),
            (json!({"initContainers": [{"envFrom": [{"secretRef": {"name": "x"}}]}]}), "Secret"),
            (json!({"imagePullSecrets": [{"name": "x"}]}), "Secret"),
        ] {
            for whole in [
                spec.clone(),
                json!({"template": {"spec": spec}}),
                json!({"jobTemplate": {"spec": {"template": {"spec": spec}}}}),
            ] {
                let mut references = PodReferences::default();
                references.add(&json!({"metadata": {"namespace": "n", "name": "w"}, "spec": whole}));
                for other in ["ConfigMap", "Secret", "PersistentVolumeClaim"] {
                    let found = references.contains(&ObjectKey::new("", other, "n", "x"));
                    assert_eq!(found, other == kind, "{other}: {whole}");
                }
                assert!(!references.contains(&ObjectKey::new("", kind, "other", "x")), "{whole}");
            }
        }
    }

    #[test]
    fn claims_of_stateful_sets_are_named_by_their_templates() {
        let mut references = PodReferences::default();
        references.add(&json!({"metadata": {"namespace": "n", "name": "db"},
            "spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}}));
        assert!(references.contains(&ObjectKey::new("", "PersistentVolumeClaim", "n", "data-db-0")));
        assert!(!references.contains(&ObjectKey::new("", "PersistentVolumeClaim", "n", "data-db")));
        assert!(!references.contains(&ObjectKey::new("", "PersistentVolumeClaim", "other", "data-db-0")));
    }

    #[test]
    fn a_workload_that_cannot_be_read_may_name_anything_beside_it() {
        let mut references = PodReferences::default();
        references.add_unknown("n");
        assert!(references.contains(&ObjectKey::new("", "Secret", "n", "x")));
        assert!(!references.contains(&ObjectKey::new("", "Secret", "other", "x")));
        assert!(!references.contains(&ObjectKey::new("", "Service", "n", "x")));
    }
}
