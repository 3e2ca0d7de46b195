//! Fields that others added to an object, and how they become ours so that the next apply removes them ("adoption").
//!
//! Server-side apply removes a field only if the applier owned it before. So foreign fields are first moved into our own
//! Apply entry by a patch of `metadata.managedFields`, and the apply that follows removes whatever is not declared; the
//! server defaults the rest anew (measured on 24 kinds, `docs/design/field-ownership.md`).

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
    /// Of an object of this kind that its ManagedResource holds so far.
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

    /// What is left to others does not count, whoever writes it.
    #[must_use]
    pub fn without(self, unmanaged: UnmanagedFields<'a>) -> Self {
        Self { unmanaged, ..self }
    }

    /// As seen by a plain write: what we wrote that way before is ours, whether we have applied or not.
    pub(crate) fn before_apply(self) -> Self {
        Self { has_apply: false, ..self }
    }

    /// Whether we declare that the rules of a ClusterRole are put together from others. Those of any other role are nobody
    /// else's to write, by whatever name.
    fn aggregates(&self) -> bool {
        let mut own = self.managed_fields.iter().filter(|entry| field_set::is_own(entry));
        own.any(|entry| entry.pointer("/fieldsV1/f:aggregationRule").is_some())
    }

    /// Whether others wrote nothing that counts.
    pub fn is_empty(&self) -> bool {
        self.managed_fields.iter().all(|entry| self.relevant(entry).is_empty())
    }

    /// Whether every foreign field that counts is also set by our manifest. Then a plain apply takes them all over.
    pub fn is_declared(&self, body: &Value) -> bool {
        self.managed_fields.iter().all(|entry| is_declared(&Value::Object(self.relevant(entry)), Some(body)))
    }

    /// What others wrote into an entry of `managedFields`, less what they may write. Empty when nothing counts.
    ///
    /// An entry of our own plain writes counts once we have one of apply: it is left from a manifest that is mended now. So
    /// does what we released and do not leave alone any more.
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
        // Labels and annotations of others are theirs as a rule, and finalizers always. Owner references are ours in both
        // scopes: one to an object that does not exist has the garbage collector delete this one.
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
        // Whoever applies is not the control plane.
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
