//! Fields that others added to an object, and their adoption, which lets the next apply remove them.
//!
//! Server-side apply removes a field only if the applier owned it before. So a patch of `metadata.managedFields` first
//! moves foreign fields into our own Apply entry. The apply that follows removes all undeclared fields, and the server
//! sets defaults anew (measured on 24 kinds, `docs/design/field-ownership.md`).

mod adopt;
mod describe;

use serde_json::{Map, Value};

use crate::{
    api::Scope,
    field_ownership::{ManagedScope, allowed, unmanaged::UnmanagedFields},
    field_set, names,
};

pub use adopt::{OtherVersion, adoption_patch};
pub use describe::Change;

/// The foreign part of an object's `managedFields`.
#[derive(Clone, Debug)]
pub struct ExternalFields<'a> {
    managed_fields: &'a [Value],
    kind: &'a str,
    managed_scope: ManagedScope,
    unmanaged: UnmanagedFields<'a>,
    has_apply: bool,
}

impl<'a> ExternalFields<'a> {
    /// Looks at an object of this kind, within the scope that its ManagedResource manages.
    pub fn new(managed_fields: &'a [Value], kind: &'a str, managed_scope: impl Into<ManagedScope>) -> Self {
        let has_apply = managed_fields.iter().any(field_set::is_own_apply);
        Self {
            managed_fields,
            kind,
            managed_scope: managed_scope.into(),
            unmanaged: UnmanagedFields::default(),
            has_apply,
        }
    }

    /// Ignores unmanaged fields, whoever writes them.
    #[must_use]
    pub fn without(self, unmanaged: UnmanagedFields<'a>) -> Self {
        Self { unmanaged, ..self }
    }

    /// Takes the view of a plain write: our earlier plain writes are ours, even if we have also applied.
    pub(crate) fn before_apply(self) -> Self {
        Self { has_apply: false, ..self }
    }

    /// Whether our manifest makes a ClusterRole aggregate its rules. Nobody else may write the rules of any other role,
    /// under whatever name.
    fn aggregates(&self) -> bool {
        let mut own = self.managed_fields.iter().filter(|entry| field_set::is_own(entry));
        own.any(|entry| entry.pointer("/fieldsV1/f:aggregationRule").is_some())
    }

    /// Whether no foreign field counts.
    pub fn is_empty(&self) -> bool {
        self.managed_fields.iter().all(|entry| self.relevant(entry).is_empty())
    }

    /// Whether our manifest also sets every foreign field that counts. Then a plain apply takes over all of them.
    pub fn is_declared(&self, body: &Value) -> bool {
        self.managed_fields.iter().all(|entry| is_declared(&Value::Object(self.relevant(entry)), Some(body)))
    }

    /// Returns the foreign fields of an entry of `managedFields` that count, without those that others may write.
    ///
    /// Once we have an Apply entry, entries of our own plain writes count, too: they are left from a manifest that is
    /// valid by now. So do fields that we released and now manage again.
    pub(crate) fn relevant(&self, entry: &Value) -> Map<String, Value> {
        let manager = entry["manager"].as_str().unwrap_or_default();
        let is_ours = if self.has_apply { field_set::is_own_apply(entry) } else { field_set::is_own(entry) };
        let Some(all) = entry["fieldsV1"].as_object().filter(|_| !is_ours) else { return Map::new() };
        let scope = if manager == names::RELEASED_MANAGER { Scope::Exact } else { self.managed_scope.scope };
        let mut set = match (scope, subresource(entry)) {
            (Scope::Exact, "" | "scale") => all.clone(),
            _ => Map::new(),
        };
        set.remove("f:status");
        // As a rule, foreign labels and annotations stay, and foreign finalizers always do. Owner references are ours
        // in both scopes: a reference to a missing object makes the garbage collector delete this one.
        let metadata = entry.pointer("/fieldsV1/f:metadata");
        let mut relevant = self.managed_scope.metadata(manager, self.kind, metadata);
        if let Some(owners) = metadata.and_then(|metadata| metadata.get("f:ownerReferences")) {
            relevant.insert("f:ownerReferences".to_owned(), owners.clone());
        }
        set.remove("f:metadata");
        if !relevant.is_empty() {
            set.insert("f:metadata".to_owned(), Value::Object(relevant));
        }
        if self.kind != "ClusterRole" || self.aggregates() {
            allowed::remove_allowed(&mut set, manager, self.kind);
        }
        // The control plane writes with updates. A manager that applies is somebody else.
        if entry["operation"] == "Update" {
            allowed::remove_allowed_by_rule(&mut set, manager, self.kind, &self.unmanaged);
        }
        self.unmanaged.take(&mut set);
        set
    }
}

fn subresource(entry: &Value) -> &str {
    entry.get("subresource").and_then(Value::as_str).unwrap_or_default()
}

fn is_declared(set: &Value, value: Option<&Value>) -> bool {
    let Some(set) = set.as_object() else { return true };
    set.iter().filter(|(name, _)| *name != ".").all(|(name, child)| {
        let found = field_set::child(value, name);
        found.is_some() && is_declared(child, found)
    })
}

#[cfg(test)]
mod tests;
