//! Fields that others added to an object, and how they become ours so that the next apply removes them ("adoption").
//!
//! Server-side apply removes a field only if the applier owned it before. So foreign fields are first moved into our own
//! Apply entry by a patch of `metadata.managedFields`, and the apply that follows removes whatever is not declared; the
//! server defaults the rest anew (design §4, measured on 24 kinds).

use serde_json::{Map, Value, json};

use crate::{
    fields::{self, Path},
    names,
};

/// What counts in exact scope is written in one table: rows of (manager, kind, path) that others may write. An empty
/// manager or kind matches any. Names alone are not trusted: anybody may use them.
const ALLOWED: [(&str, &str, &[&str]); 18] = [
    // `kubectl rollout restart`, of every kind that has a pod template.
    ("", "", &["spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"]),
    // Binding of claims and volumes.
    ("kube-controller-manager", "PersistentVolumeClaim", &["spec", "volumeName"]),
    ("kube-controller-manager", "PersistentVolume", &["spec", "claimRef"]),
    ("", "PersistentVolume", &["spec", "csi", "volumeAttributes"]),
    ("kube-controller-manager", "ServiceAccount", &["secrets"]),
    ("kube-controller-manager", "ServiceAccount", &["imagePullSecrets"]),
    // Aggregated roles.
    ("kube-controller-manager", "ClusterRole", &["rules"]),
    ("clusterrole-aggregation-controller", "ClusterRole", &["rules"]),
    ("kube-scheduler", "Pod", &["spec", "nodeName"]),
    ("kubelet", "Node", &["spec"]),
    ("kube-controller-manager", "Node", &["spec"]),
    ("", "Node", &["spec", "providerID"]),
    // CA bundles that an injector fills in; declared ones are ours.
    ("", "CustomResourceDefinition", &["spec", "conversion", "webhook", "clientConfig", "caBundle"]),
    ("", "APIService", &["spec", "caBundle"]),
    ("", "ValidatingWebhookConfiguration", &["webhooks", "*", "clientConfig", "caBundle"]),
    ("", "MutatingWebhookConfiguration", &["webhooks", "*", "clientConfig", "caBundle"]),
    // Written by the service controller of clouds.
    ("", "Service", &["spec", "loadBalancerIP"]),
    ("", "Service", &["spec", "healthCheckNodePort"]),
];

/// What others wrote into an entry of `managedFields`, less what they may write. Empty when nothing counts.
///
/// An entry of our own plain writes counts once we have one of apply: it is left from a manifest that is mended now.
pub(crate) fn counting(entry: &Value, kind: &str, has_apply: bool) -> Map<String, Value> {
    let manager = entry["manager"].as_str().unwrap_or_default();
    let is_ours = if has_apply { fields::is_own_apply(entry) } else { fields::is_own(entry) };
    if is_ours || manager == names::RELEASED_MANAGER || !subresource(entry).is_empty() {
        return Map::new();
    }
    let Some(mut set) = entry["fieldsV1"].as_object().cloned() else { return Map::new() };
    // Labels, annotations and finalizers of others are theirs; owner references have rules of their own.
    set.remove("f:metadata");
    set.remove("f:status");
    for (allowed_manager, allowed_kind, path) in ALLOWED {
        let applies = |allowed: &str, actual: &str| allowed.is_empty() || allowed == actual;
        if applies(allowed_manager, manager) && applies(allowed_kind, kind) {
            remove_path(&mut set, path);
        }
    }
    set
}

fn subresource(entry: &Value) -> &str {
    entry.get("subresource").and_then(Value::as_str).unwrap_or_default()
}

/// Removes a path, and containers that are empty because of it. `*` matches every list element.
fn remove_path(set: &mut Map<String, Value>, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    let matching: Vec<String> = match *first {
        "*" => set.keys().filter(|key| key.starts_with("k:") || key.starts_with("i:")).cloned().collect(),
        field => vec![format!("f:{field}")],
    };
    for key in matching {
        let is_empty = match set.get_mut(&key) {
            Some(_) if rest.is_empty() => true,
            Some(Value::Object(child)) if !child.is_empty() => {
                remove_path(child, rest);
                is_bare(child)
            }
            _ => false,
        };
        if is_empty {
            set.remove(&key);
        }
    }
}

/// Nothing but the container itself, or the keys by which a list element is found.
fn is_bare(set: &Map<String, Value>) -> bool {
    set.keys().all(|key| key == ".")
}

/// Whether anybody may change this field of objects of this kind: the rows of the table that name no manager, since an
/// admission request does not tell one.
pub(crate) fn is_allowed(path: &Path, kind: &str) -> bool {
    ALLOWED.iter().any(|(manager, allowed_kind, allowed)| {
        manager.is_empty() && (allowed_kind.is_empty() || *allowed_kind == kind) && path.matches(allowed)
    })
}

fn has_apply(managed_fields: &[Value]) -> bool {
    managed_fields.iter().any(fields::is_own_apply)
}

/// Whether others wrote fields that count in exact scope.
pub fn has_foreign_fields(managed_fields: &[Value], kind: &str) -> bool {
    let apply = has_apply(managed_fields);
    managed_fields.iter().any(|entry| !counting(entry, kind, apply).is_empty())
}

/// Names of the managers whose fields count.
pub fn managers<'a>(managed_fields: &'a [Value], kind: &str) -> Vec<&'a str> {
    let apply = has_apply(managed_fields);
    let counting = managed_fields.iter().filter(|entry| !counting(entry, kind, apply).is_empty());
    let mut names: Vec<&str> = counting.filter_map(|entry| entry["manager"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether every foreign field that counts is also set by our manifest. Then a plain apply takes them all over.
pub fn all_declared(managed_fields: &[Value], kind: &str, body: &Value) -> bool {
    let apply = has_apply(managed_fields);
    managed_fields.iter().all(|entry| is_declared(&Value::Object(counting(entry, kind, apply)), Some(body)))
}

fn is_declared(set: &Value, value: Option<&Value>) -> bool {
    let Some(set) = set.as_object() else { return true };
    set.iter().filter(|(name, _)| *name != ".").all(|(name, child)| {
        let found = fields::child(value, name);
        found.is_some() && is_declared(child, found)
    })
}

/// The `managedFields` after adoption: what counts is part of our own Apply entry. `None` when nothing counts, or when we
/// have no Apply entry of that apiVersion yet (apply first).
pub fn adopted(managed_fields: &[Value], kind: &str) -> Option<Vec<Value>> {
    let own = managed_fields.iter().position(fields::is_own_apply)?;
    let version = managed_fields.get(own)?.get("apiVersion").cloned();
    let mut ours = managed_fields.get(own)?.get("fieldsV1")?.clone();
    let mut result = Vec::with_capacity(managed_fields.len());
    let mut moved = false;
    for entry in managed_fields {
        let taken = counting(entry, kind, true);
        if taken.is_empty() || entry.get("apiVersion") != version.as_ref() {
            result.push(entry.clone());
            continue;
        }
        moved = true;
        let taken = Value::Object(taken);
        merge(&mut ours, &taken);
        let mut rest = entry["fieldsV1"].clone();
        subtract(&mut rest, &taken);
        if rest.as_object().is_some_and(|rest| !rest.is_empty()) {
            let mut entry = entry.clone();
            entry["fieldsV1"] = rest;
            result.push(entry);
        }
    }
    let own = result.iter_mut().find(|entry| fields::is_own_apply(entry))?;
    own["fieldsV1"] = ours;
    moved.then_some(result)
}

/// The patch that adopts, guarded by the resource version (a `test` operation would be answered with a vague 422).
pub fn adoption_patch(managed_fields: &[Value], resource_version: &str) -> Value {
    json!([
        { "op": "replace", "path": "/metadata/managedFields", "value": managed_fields },
        { "op": "replace", "path": "/metadata/resourceVersion", "value": resource_version },
    ])
}

fn merge(into: &mut Value, from: &Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    for (name, child) in from {
        merge(into.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())), child);
    }
}

/// Removes `taken` from a set; containers go when nothing is left in them.
fn subtract(set: &mut Value, taken: &Value) {
    let (Value::Object(set), Value::Object(taken)) = (set, taken) else { return };
    for (name, child) in taken {
        let is_leaf = child.as_object().is_none_or(Map::is_empty);
        let is_empty = set.get_mut(name).is_some_and(|own| {
            subtract(own, child);
            is_leaf || own.as_object().is_none_or(is_bare)
        });
        if is_empty {
            set.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(fields: &Value) -> Value {
        json!({"manager": "holdfast", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields})
    }

    fn theirs(manager: &str, version: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Update", "apiVersion": version, "fieldsV1": fields})
    }

    #[test]
    fn an_added_container_becomes_ours_and_a_foreign_label_stays_theirs() {
        let sidecar = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"spy\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}});
        let mut edit = sidecar.clone();
        edit["f:metadata"] = json!({"f:labels": {"f:team": {}}});
        let entries = [ours(&json!({"f:spec": {"f:replicas": {}}})), theirs("kubectl-edit", "apps/v1", &edit)];
        assert!(has_foreign_fields(&entries, "Deployment"));
        assert_eq!(managers(&entries, "Deployment"), ["kubectl-edit"]);
        let adopted = adopted(&entries, "Deployment").unwrap();
        assert_eq!(adopted.len(), 2);
        assert_eq!(adopted[0]["fieldsV1"]["f:spec"]["f:template"], sidecar["f:spec"]["f:template"]);
        assert_eq!(adopted[0]["fieldsV1"]["f:spec"]["f:replicas"], json!({}));
        assert_eq!(adopted[1]["fieldsV1"], json!({"f:metadata": {"f:labels": {"f:team": {}}}}));
        assert!(!has_foreign_fields(&adopted, "Deployment"));
    }

    #[test]
    fn entries_that_are_emptied_go() {
        let entries = [
            ours(&json!({"f:data": {"f:a": {}}})),
            theirs("kubectl-edit", "apps/v1", &json!({"f:data": {".": {}, "f:b": {}}})),
        ];
        let adopted = adopted(&entries, "ConfigMap").unwrap();
        assert_eq!(adopted.len(), 1);
        assert_eq!(adopted[0]["fieldsV1"], json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}}));
    }

    #[test]
    fn what_others_may_write_does_not_count() {
        for (case, kind, entry) in [
            ("metadata", "ConfigMap", theirs("x", "v1", &json!({"f:metadata": {"f:annotations": {"f:a": {}}}}))),
            ("status", "Widget", theirs("x", "v1", &json!({"f:status": {"f:a": {}}}))),
            (
                "a bound claim",
                "PersistentVolumeClaim",
                theirs("kube-controller-manager", "v1", &json!({"f:spec": {"f:volumeName": {}}})),
            ),
            (
                "an injected CA",
                "ValidatingWebhookConfiguration",
                theirs(
                    "cainjector",
                    "v1",
                    &json!({"f:webhooks": {"k:{\"name\":\"a\"}": {"f:clientConfig": {"f:caBundle": {}}}}}),
                ),
            ),
            ("our own plain write", "ConfigMap", theirs("holdfast", "v1", &json!({"f:data": {"f:a": {}}}))),
            (
                "a restart",
                "Deployment",
                theirs(
                    "kubectl-rollout",
                    "apps/v1",
                    &json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}}}}),
                ),
            ),
            ("our own", "ConfigMap", ours(&json!({"f:data": {}}))),
            (
                "released by us",
                "Deployment",
                theirs("holdfast-released", "apps/v1", &json!({"f:spec": {"f:replicas": {}}})),
            ),
        ] {
            assert!(!has_foreign_fields(&[entry], kind), "{case}");
        }
        let mut scale = theirs("kubectl", "apps/v1", &json!({"f:spec": {"f:replicas": {}}}));
        scale["subresource"] = json!("scale");
        assert!(!has_foreign_fields(&[scale], "Deployment"));
    }

    #[test]
    fn what_is_left_of_our_plain_writes_is_taken_over_by_apply() {
        let entries =
            [ours(&json!({"f:spec": {}})), theirs("holdfast", "apps/v1", &json!({"f:spec": {"f:paused": {}}}))];
        assert!(has_foreign_fields(&entries, "Deployment"));
        assert_eq!(adopted(&entries, "Deployment").unwrap().len(), 1);
    }

    #[test]
    fn a_trusted_name_covers_only_its_paths() {
        let entry =
            theirs("kube-controller-manager", "v1", &json!({"f:spec": {"f:volumeName": {}, "f:resources": {}}}));
        assert!(has_foreign_fields(&[entry], "PersistentVolumeClaim"));
    }

    #[test]
    fn changes_of_declared_fields_need_no_adoption() {
        let body =
            json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "app", "image": "a"}]}}}});
        let image = |name: &str| json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {(format!("k:{{\"name\":\"{name}\"}}")): {".": {}, "f:image": {}}}}}}});
        assert!(all_declared(&[theirs("x", "apps/v1", &image("app"))], "Deployment", &body));
        assert!(!all_declared(&[theirs("x", "apps/v1", &image("spy"))], "Deployment", &body));
        assert!(!all_declared(&[theirs("x", "apps/v1", &json!({"f:spec": {"f:paused": {}}}))], "Deployment", &body));
    }

    #[test]
    fn without_an_entry_of_ours_or_in_another_version_nothing_is_moved() {
        let edit = |version| theirs("x", version, &json!({"f:spec": {"f:paused": {}}}));
        assert!(adopted(&[edit("apps/v1")], "Deployment").is_none());
        assert!(adopted(&[ours(&json!({"f:spec": {}})), edit("apps/v1beta2")], "Deployment").is_none());
    }
}
