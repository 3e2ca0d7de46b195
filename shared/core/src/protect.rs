//! Line 1: whether a write to a managed object passes admission (design §7).
//!
//! A pipeline of small steps, cheapest first: whose request is it, whose object is it, is protection on, what does the
//! request change. Nothing is read on the way: the review carries both states of the object, and `managedFields` of the old
//! one says what the manifest declares.

pub mod admission_policy;
mod changes;
mod entry;
mod exempt;
mod message;
mod mode;
mod namespace;
mod pausing;
mod revert;
mod shell;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::Value;

pub use exempt::Exempt;
pub use mode::Decision;
pub use namespace::judge_namespace;
pub use revert::revert;

use changes::Changes;

use crate::{
    api::{Mode, Repair},
    field_ownership::{ManagedScope, preserve::Preserve},
    field_set,
    inventory::index::{Index, Owner},
    key::ObjectKey,
    names, pause,
};

/// What is asked of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of an object or of a subresource.
    Update,
    /// A deletion, alone or as part of a collection.
    Delete,
    /// A connection such as `exec`.
    Connect,
}

/// An admission request, as far as the decision needs it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is asked.
    pub operation: Operation,
    /// API group of the resource; empty for the core group.
    pub group: &'a str,
    /// Version of the resource.
    pub version: &'a str,
    /// Plural of the resource.
    pub resource: &'a str,
    /// Kind of the object in the review; `Scale` for the scale subresource.
    pub kind: &'a str,
    /// Empty for the main resource.
    pub subresource: &'a str,
    /// Empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// Empty when the request is part of a collection delete.
    pub name: &'a str,
    /// User name.
    pub username: &'a str,
    /// Groups of the user.
    pub groups: &'a [String],
    /// New state; absent for DELETE.
    pub object: Option<&'a Value>,
    /// Old state; absent for CREATE.
    pub old_object: Option<&'a Value>,
    /// The time: pauses end.
    pub now: Timestamp,
}

/// What the decision obeys beside the index.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Users who are never refused.
    pub exempt: Exempt,
    /// Mode of ManagedResources that ask for none.
    pub default_mode: Mode,
    /// When edits that pass are undone, where the ManagedResource does not say: for texts.
    pub default_repair: Repair,
    /// Nothing is refused or put back: what would be is told of.
    pub audit_only: bool,
    /// Refuse while ManagedResources are not known yet (failure policy Fail); otherwise allow with a warning.
    pub fail_closed: bool,
    /// Namespace that we run in.
    pub home: String,
    /// Refuse to delete namespaces that hold managed objects; otherwise warn.
    pub keep_namespaces: bool,
    /// How long a pause may be.
    pub longest_pause: Duration,
}

/// How long a pause may be unless the settings say so.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

impl Default for Rules {
    fn default() -> Self {
        Self {
            exempt: Exempt::default(),
            default_mode: Mode::default(),
            default_repair: Repair::default(),
            audit_only: false,
            fail_closed: false,
            home: String::new(),
            keep_namespaces: false,
            longest_pause: LONGEST_PAUSE,
        }
    }
}

/// The decision. Texts never contain field values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request passes.
    Allow {
        /// Shown to the user.
        warnings: Vec<String>,
        /// For the API server's audit log.
        audit: BTreeMap<String, String>,
    },
    /// The request passes, less what is put back.
    Revert {
        /// A JSON patch of the new state.
        patch: Value,
        /// Shown to the user.
        warnings: Vec<String>,
        /// For the API server's audit log.
        audit: BTreeMap<String, String>,
    },
    /// The request is refused.
    Deny {
        /// Shown to the user.
        message: String,
        /// For the API server's audit log.
        audit: BTreeMap<String, String>,
    },
}

impl Verdict {
    fn pass() -> Self {
        Self::Allow { warnings: Vec::new(), audit: BTreeMap::new() }
    }

    fn warn(warning: impl Into<String>) -> Self {
        Self::Allow { warnings: vec![warning.into()], audit: BTreeMap::new() }
    }

    /// Whether the request passes.
    pub fn is_allowed(&self) -> bool {
        !matches!(self, Self::Deny { .. })
    }
}

/// A request that does something to the owner's object which its protection is about.
#[derive(Debug)]
struct Case<'a> {
    request: &'a Request<'a>,
    object: ObjectKey,
    owner: &'a Owner,
    mode: Mode,
    /// When what passes is undone.
    repair: Repair,
    /// How long a pause may be.
    longest_pause: Duration,
    offence: Offence,
}

/// What a request does to the owner's object, where that matters.
#[derive(Debug)]
enum Offence {
    /// Fields change that are held.
    Change(Changes),
    /// The object would be deleted.
    Deletion,
    /// Somebody else creates an object that the owner holds.
    Creation,
}

/// Decides about one request. `index` is `None` while ManagedResources are not known.
pub fn judge(request: &Request<'_>, index: Option<&Index>, rules: &Rules) -> Verdict {
    let verdict = match case(request, index, rules) {
        Ok(case) => mode::verdict(&case),
        Err(verdict) => verdict,
    };
    if rules.audit_only { verdict.into_audit_only() } else { verdict }
}

/// The case that a request makes, or what to answer where it makes none.
fn case<'a>(request: &'a Request<'_>, index: Option<&'a Index>, rules: &Rules) -> Result<Case<'a>, Verdict> {
    if rules.exempt.contains(request.username, request.groups) {
        return Err(Verdict::pass());
    }
    let Some(index) = index else { return Err(undecided(request, rules)) };
    let object = object_key(request, index);
    let Some(owner) = object.as_ref().and_then(|object| index.owner_of(object)) else { return Err(unowned(request)) };
    let Some(object) = object else { return Err(Verdict::pass()) };
    let is_free = owner.deleting || owner.is_free(&object);
    let mode = owner.mode.unwrap_or(rules.default_mode);
    if is_free || mode == Mode::Off || is_being_deleted(request) {
        return Err(Verdict::pass());
    }
    let repair = owner.repair.unwrap_or(rules.default_repair);
    let offence =
        offence(request, &owner.managed_scope.of_object(&object), owner.preserve(&object)).ok_or_else(Verdict::pass)?;
    let case = Case { request, object, owner, mode, repair, longest_pause: rules.longest_pause, offence };
    match owner.paused(&case.object, request.now) {
        Some(paused) => Err(pausing::pass(&case, paused)),
        None => Ok(case),
    }
}

/// The scale webhook sees every workload of the cluster, so it never refuses what it does not know. Nor does whoever has
/// broken the glass depend on what is known.
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

/// Whether the stored object's label says `off` in the name of a pause, as its webhook requires that sees no other.
fn says_paused(request: &Request<'_>) -> bool {
    request.old_object.is_some_and(|old| {
        let label = field_set::metadata(old, "labels").and_then(|labels| labels.get(names::LABEL_PROTECTION)?.as_str());
        label == Some(Mode::Off.label()) && pause::has_label(field_set::entries(old))
    })
}

/// An object with our marks that no ManagedResource holds: a restored backup, a copy, a child that inherited a label.
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

/// Identity of the object that the request is about. A collection delete has no name, a Scale another kind.
fn object_key(request: &Request<'_>, index: &Index) -> Option<ObjectKey> {
    if request.subresource == "scale" {
        return index.object_at(request.group, request.resource, request.namespace, request.name);
    }
    let state = request.old_object.or(request.object)?;
    let metadata = |field: &str| {
        let value = field_set::metadata(state, field).and_then(Value::as_str);
        value.filter(|text| !text.is_empty())
    };
    // A namespace object's own review has its name as namespace; cluster-scoped objects have none in their metadata.
    let (namespace, name) = (metadata("namespace").unwrap_or_default(), metadata("name").unwrap_or(request.name));
    Some(ObjectKey::new(request.group, request.kind, namespace, name))
}

fn is_being_deleted(request: &Request<'_>) -> bool {
    request.old_object.and_then(|old| field_set::metadata(old, "deletionTimestamp")).is_some_and(|time| !time.is_null())
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
