//! Decides whether a write to a managed object passes admission (`docs/design/defence.md`, line 1).
//!
//! A pipeline of small steps, cheapest first. Is the user exempt? Who owns the object? Is protection on? What does the
//! request change? No step makes a request: the review has both states of the object, and `managedFields` of the old
//! one say what the manifest declares.

pub mod admission_policy;
mod case;
mod changes;
mod command;
mod entry;
mod exempt;
mod message;
mod mode;
mod namespace;
mod request;
mod revert;
mod rules;
mod shell;
mod verdict;

use std::collections::BTreeMap;

use serde_json::Value;

pub use exempt::Exempt;
pub use mode::Decision;
pub use namespace::judge_namespace;
pub use request::{Operation, Request};
pub use revert::revert;
pub use rules::{LONGEST_PAUSE, Rules};
pub use verdict::Verdict;

use case::{Case, Offence};
use changes::Changes;

use crate::{
    api::Mode,
    field_ownership::{ManagedScope, preserve::Preserve},
    field_set,
    inventory::index::Index,
    key::ObjectKey,
    names, pause,
};

/// Decides about one request. `index` is `None` as long as the ManagedResources are unknown.
pub fn judge(request: &Request<'_>, index: Option<&Index>, rules: &Rules) -> Verdict {
    let verdict = match case(request, index, rules) {
        Ok(case) => mode::verdict(&case),
        Err(verdict) => verdict,
    };
    if rules.audit_only { verdict.into_audit_only() } else { verdict }
}

/// Returns the case that a request makes, or the verdict if it makes none.
fn case<'a>(request: &'a Request<'_>, index: Option<&'a Index>, rules: &Rules) -> Result<Case<'a>, Verdict> {
    if rules.exempt.contains(request.username, request.groups) {
        return Err(Verdict::pass());
    }
    let Some(index) = index else { return Err(undecided(request, rules)) };
    let object = object_key(request, index);
    let Some(owner) = object.as_ref().and_then(|object| index.owner_of(object)) else { return Err(unowned(request)) };
    let Some(object) = object else { return Err(Verdict::pass()) };
    let is_exempt = owner.deleting || owner.is_exempt(&object);
    let mode = owner.mode.unwrap_or(rules.default_mode);
    if is_exempt || mode == Mode::Off || request.is_being_deleted() {
        return Err(Verdict::pass());
    }
    let repair = owner.repair.unwrap_or(rules.default_repair);
    let offence =
        offence(request, &owner.managed_scope.of_object(&object), owner.preserve(&object)).ok_or_else(Verdict::pass)?;
    let case = Case { request, object, owner, mode, repair, longest_pause: rules.longest_pause, offence };
    match owner.paused(&case.object, request.now) {
        Some(paused) => Err(mode::paused(&case, paused)),
        None => Ok(case),
    }
}

/// Answers while the ManagedResources are unknown. The scale webhook sees every workload of the cluster, so it never
/// refuses unknown objects. Pauses work without the index, too.
fn undecided(request: &Request<'_>, rules: &Rules) -> Verdict {
    let text = "Holdfast does not know the ManagedResources of this cluster yet";
    if rules.fail_closed && request.subresource != "scale" && !says_paused(request) {
        let message = format!("{text}, so this object cannot be changed now; try again in a moment");
        return Verdict::Deny { message, audit: BTreeMap::new() };
    }
    if request.subresource == "scale" {
        return Verdict::pass();
    }
    Verdict::warn(format!("{text}; the change was let through and is undone if it concerns a managed object"))
}

/// Whether a pause has set the label of the stored object to `off`. The webhook for paused objects requires this.
fn says_paused(request: &Request<'_>) -> bool {
    request.old_object.is_some_and(|old| {
        let label = field_set::metadata(old, "labels").and_then(|labels| labels.get(names::LABEL_PROTECTION)?.as_str());
        label == Some(Mode::Off.label()) && pause::has_label(field_set::entries(old))
    })
}

/// Answers for an object with our marks that no ManagedResource owns: a restored backup, a copy, or a child that
/// inherited a label.
fn unowned(request: &Request<'_>) -> Verdict {
    if request.operation != Operation::Create || !request.object.is_some_and(has_origin) {
        return Verdict::pass();
    }
    Verdict::warn(
        "this object carries the marks of a managed object, but no ManagedResource holds it; nothing protects or repairs it",
    )
}

fn has_origin(object: &Value) -> bool {
    field_set::metadata(object, "annotations").and_then(|map| map.get(names::ANNOTATION_ORIGIN)).is_some()
}

/// Returns the identity of the requested object. A collection delete has no name, and a Scale has another kind.
fn object_key(request: &Request<'_>, index: &Index) -> Option<ObjectKey> {
    if request.subresource == "scale" {
        return index.object_at(request.group, request.resource, request.namespace, request.name);
    }
    let state = request.old_object.or(request.object)?;
    let metadata = |field: &str| {
        let value = field_set::metadata(state, field).and_then(Value::as_str);
        value.filter(|text| !text.is_empty())
    };
    // The review of a Namespace has its name as namespace. Cluster-scoped objects have no namespace in their metadata.
    let (namespace, name) = (metadata("namespace").unwrap_or_default(), metadata("name").unwrap_or(request.name));
    Some(ObjectKey::new(request.group, request.kind, namespace, name))
}

fn offence(request: &Request<'_>, managed_scope: &ManagedScope, preserve: Preserve) -> Option<Offence> {
    match (request.operation, request.object, request.old_object) {
        (Operation::Delete, _, _) => Some(Offence::Deletion),
        (Operation::Create, _, _) => Some(Offence::Creation),
        (Operation::Update, Some(new), Some(old)) => {
            let changes = if managed_scope.ignored.is_none() || entry::is_of_another_version(request, old) {
                Changes::of(request, managed_scope, preserve, old, new)
            } else {
                let (old, new) = managed_scope.ignored.without(old, new);
                Changes::of(request, managed_scope, preserve, &old, &new)
            };
            let is_any = changes.all().next().is_some();
            is_any.then_some(Offence::Change(changes))
        }
        (Operation::Update | Operation::Connect, _, _) => None,
    }
}

#[cfg(test)]
mod settled;
#[cfg(test)]
mod tests;
