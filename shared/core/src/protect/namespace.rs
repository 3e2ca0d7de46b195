//! Deletion of a namespace that no ManagedResource manages, although it contains managed objects.
//!
//! The namespace takes them all along, and the controller cannot create them again without it.

use super::request::{Operation, Request};
use super::{rules::Rules, verdict::Verdict};
use crate::{
    api::Mode,
    inventory::index::{Index, Owner},
    key::{NamespacedName, ObjectKey},
};

/// Most ManagedResources to list. The text gives the number of further ones.
const NAMED: usize = 3;

/// Warns with the number of managed objects, or refuses, as the rules say. Never refuses the control plane, and never
/// refuses while the ManagedResources are unknown.
pub fn judge_namespace(request: &Request<'_>, index: Option<&Index>, rules: &Rules) -> Verdict {
    let is_deletion = request.operation == Operation::Delete && request.subresource.is_empty();
    if !is_deletion || request.is_being_deleted() || rules.exempt.contains(request.username, request.groups) {
        return Verdict::pass();
    }
    let Some(index) = index else { return Verdict::pass() };
    let named = request.old_object.and_then(|old| old.pointer("/metadata/name")?.as_str());
    let name = named.unwrap_or(request.name);
    let is_active = |owner: &Owner, object: &ObjectKey| {
        let is_protected = !rules.keep_namespaces || owner.mode.unwrap_or(rules.default_mode) != Mode::Off;
        !owner.deleting && is_protected && owner.paused(object, request.now).is_none()
    };
    let (count, owners) = index.owned_in(name, is_active);
    if count == 0 {
        return Verdict::pass();
    }
    let owners = list(&owners.into_iter().collect::<Vec<_>>());
    let objects = if count == 1 { "1 managed object".to_owned() } else { format!("{count} managed objects") };
    if rules.keep_namespaces {
        let message = format!(
            "namespace {name:?} holds {objects} of {owners}, and is not deleted with them. Remove them from their Secrets, \
             delete the ManagedResources or pause them first"
        );
        let audit =
            [("decision", "deny"), ("paths", "(deletion)")].map(|(key, text)| (key.to_owned(), text.to_owned()));
        return Verdict::Deny { message, audit: audit.into() };
    }
    Verdict::warn(format!(
        "namespace {name:?} holds {objects} of {owners}; what goes with it cannot be created again until the namespace is there again"
    ))
}

fn list(owners: &[&NamespacedName]) -> String {
    let plural = if owners.len() == 1 { "" } else { "s" };
    let named: Vec<String> = owners.iter().take(NAMED).map(ToString::to_string).collect();
    let more = owners.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("ManagedResource{plural} {}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::protect::Exempt;

    fn judge(name: &str, username: &str, mr: &Value, keep_namespaces: bool) -> Verdict {
        let mut all = json!({
            "metadata": {"namespace": "n", "name": "a"}, "spec": {"secretRefs": []},
            "status": {"resources": [{"apiVersion": "v1", "kind": "ConfigMap", "namespace": "full", "name": "x"}]},
        });
        for (key, value) in mr.as_object().unwrap() {
            for (inner, value) in value.as_object().unwrap() {
                all[key][inner] = value.clone();
            }
        }
        let mut index = Index::default();
        index.upsert(&serde_json::from_value(all).unwrap());
        let rules = Rules { exempt: Exempt::new(vec![], vec![], vec![]), keep_namespaces, ..Rules::default() };
        let old = json!({"metadata": {"name": name}});
        let request = Request {
            operation: Operation::Delete,
            group: "",
            version: "v1",
            resource: "namespaces",
            kind: "Namespace",
            subresource: "",
            namespace: name,
            name,
            username,
            groups: &[],
            object: None,
            old_object: Some(&old),
            now: "2026-01-01T12:00:00Z".parse().unwrap(),
        };
        judge_namespace(&request, Some(&index), &rules)
    }

    #[test]
    fn a_namespace_with_managed_objects_does_not_go_unnoticed() {
        let controller = "system:serviceaccount:kube-system:namespace-controller";
        let paused = json!({"metadata": {"annotations": {"resources.gardener.cloud/ignore": "true"}}});
        let off = json!({"spec": {"protection": {"mode": "Off"}}});
        for (case, name, user, mr, keep, expected) in [
            ("held", "full", "alice", json!({}), false, "warn"),
            ("held, and kept", "full", "alice", json!({}), true, "deny"),
            ("empty", "other", "alice", json!({}), true, "pass"),
            ("the namespace controller", "full", controller, json!({}), true, "pass"),
            ("paused", "full", "alice", paused, true, "pass"),
            ("mode Off", "full", "alice", off.clone(), true, "pass"),
            ("mode Off is worth a warning", "full", "alice", off, false, "warn"),
        ] {
            let found = match judge(name, user, &mr, keep) {
                Verdict::Deny { message, .. } => {
                    assert!(message.contains("holds 1 managed object of ManagedResource n/a"), "{message}");
                    "deny"
                }
                Verdict::Allow { warnings, .. } if warnings.is_empty() => "pass",
                Verdict::Allow { .. } => "warn",
                Verdict::Revert { .. } => "revert",
            };
            assert_eq!(found, expected, "{case}");
        }
    }
}
