//! Decides whether Holdfast adopts an object that already exists (`spec.adopt`, `docs/design/field-ownership.md`).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{api::Adopt, field_set, key::NamespacedName, names};

/// Marks by which other tools claim an object: the map, the key, the value (empty for any), and the tool.
const FOREIGN_OWNERS: [(&str, &str, &str, &str); 11] = [
    ("annotations", "meta.helm.sh/release-name", "", "a Helm release"),
    ("labels", "app.kubernetes.io/managed-by", "Helm", "a Helm release"),
    ("annotations", "argocd.argoproj.io/tracking-id", "", "an Argo CD application"),
    ("labels", "argocd.argoproj.io/instance", "", "an Argo CD application"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", "", "a Flux Kustomization"),
    ("labels", "helm.toolkit.fluxcd.io/name", "", "a Flux HelmRelease"),
    ("annotations", "configmanagement.gke.io/managed", "enabled", "Config Sync"),
    ("labels", "applyset.kubernetes.io/part-of", "", "a kubectl ApplySet"),
    ("labels", "addonmanager.kubernetes.io/mode", "", "the addon manager"),
    ("annotations", "config.k8s.io/owning-inventory", "", "an inventory of cli-utils"),
    ("labels", "app.kubernetes.io/managed-by", "Crossplane", "Crossplane"),
];

/// Returns the value of the origin annotation: `[<cluster>:]<namespace>/<name>`.
pub fn origin(cluster_id: &str, mr: &NamespacedName) -> String {
    if cluster_id.is_empty() { mr.to_string() } else { format!("{cluster_id}:{mr}") }
}

/// Whether Holdfast already manages the live object: it has the origin of this ManagedResource, or no origin and our
/// field manager.
pub fn is_ours(live: &Value, mr: &NamespacedName, cluster_id: &str) -> bool {
    field_set::has_own_entry(live) && origin_of(live).is_none_or(|found| found == origin(cluster_id, mr))
        || origin_of(live).is_some_and(|found| found == origin(cluster_id, mr))
}

/// Returns why Holdfast does not take over an existing object; `None` if it does.
pub fn refusal(adopt: Adopt, live: &Value, mr: &NamespacedName, cluster_id: &str) -> Option<String> {
    if adopt == Adopt::Always || is_ours(live, mr, cluster_id) {
        return None;
    }
    let managers = managers(field_set::entries(live));
    let by = if managers.is_empty() { String::new() } else { format!(" (written by {})", managers.join(", ")) };
    if adopt == Adopt::Never {
        return Some(format!("it exists already{by} and spec.adopt is Never"));
    }
    owner(live).map(|owner| format!("it exists already{by}, belongs to {owner}, and spec.adopt is IfUnowned"))
}

/// Returns who claims the object.
fn owner(live: &Value) -> Option<String> {
    let metadata = &live["metadata"];
    if let Some(origin) = origin_of(live) {
        return Some(format!("ManagedResource {origin}"));
    }
    let marked = FOREIGN_OWNERS.iter().find(|(map, name, value, _)| {
        metadata[map][name].as_str().is_some_and(|found| value.is_empty() || found == *value)
    });
    if let Some((.., tool)) = marked {
        return Some((*tool).to_owned());
    }
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    let controller = owners.into_iter().find(|owner| owner["controller"] == true)?;
    let text = |field: &str| controller[field].as_str().unwrap_or_default();
    Some(format!("{} {}", text("kind"), text("name")))
}

fn origin_of(live: &Value) -> Option<&str> {
    live["metadata"]["annotations"][names::ANNOTATION_ORIGIN].as_str()
}

/// Returns the foreign field managers that wrote the object itself and not only its status, sorted.
pub fn managers(managed_fields: &[Value]) -> Vec<&str> {
    let external = managed_fields.iter().filter(|entry| {
        let is_subresource = entry["subresource"].as_str().is_some_and(|name| !name.is_empty());
        !is_subresource && !is_of_ours(entry)
    });
    let names: BTreeSet<&str> = external.filter_map(|entry| entry["manager"].as_str()).collect();
    names.into_iter().collect()
}

/// Whether an entry of `managedFields` belongs to one of Holdfast's managers.
pub fn is_of_ours(entry: &Value) -> bool {
    let ours = [names::FIELD_MANAGER, names::RELEASED_MANAGER, names::REMOVAL_MANAGER, names::PAUSE_MANAGER];
    entry["manager"].as_str().is_none_or(|name| ours.contains(&name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(adopt: Adopt, metadata: &Value) -> Option<String> {
        refusal(adopt, &json!({ "metadata": metadata }), &NamespacedName::new("n", "a"), "")
    }

    #[test]
    fn never_takes_nothing_that_is_there() {
        let entry = |manager: &str| json!({"manager": manager, "operation": "Update", "fieldsV1": {}});
        let metadata = json!({"managedFields": [entry("kubectl-create"), entry("helm")]});
        assert_eq!(
            refused(Adopt::Never, &metadata).unwrap(),
            "it exists already (written by helm, kubectl-create) and spec.adopt is Never"
        );
        assert_eq!(refused(Adopt::IfUnowned, &metadata), None);
        assert_eq!(refused(Adopt::Always, &metadata), None);
        let ours = json!({"managedFields": [entry("holdfast")]});
        assert_eq!(refused(Adopt::Never, &ours), None, "ours already");
        let ours = json!({"annotations": {"resources.gardener.cloud/origin": "n/a"}});
        assert_eq!(refused(Adopt::Never, &ours), None, "ours by the original");
    }

    #[test]
    fn what_belongs_to_somebody_is_left_to_them() {
        let of_another = json!({"annotations": {"resources.gardener.cloud/origin": "n/b"},
            "managedFields": [{"manager": "holdfast", "operation": "Apply", "fieldsV1": {}}]});
        for (metadata, owner) in [
            (of_another, "ManagedResource n/b"),
            (json!({"annotations": {"meta.helm.sh/release-name": "x"}}), "a Helm release"),
            (json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}), "a Helm release"),
            (json!({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}), "an Argo CD application"),
            (json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}), "a Flux Kustomization"),
            (json!({"ownerReferences": [{"kind": "Widget", "name": "w", "controller": true}]}), "Widget w"),
        ] {
            let text = refused(Adopt::IfUnowned, &metadata).unwrap();
            assert!(text.contains(&format!("belongs to {owner},")), "{text}");
            assert!(refused(Adopt::Never, &metadata).is_some());
        }
        assert_eq!(refused(Adopt::IfUnowned, &json!({"labels": {"app.kubernetes.io/managed-by": "me"}})), None);
    }
}
