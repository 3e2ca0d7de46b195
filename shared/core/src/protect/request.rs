//! The parts of an admission request that the decision needs.

use jiff::Timestamp;
use serde_json::Value;

use crate::field_set;

/// The requested operation.
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

/// The parts of an admission request that the decision needs.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The requested operation.
    pub operation: Operation,
    /// API group of the resource; empty for the core group.
    pub group: &'a str,
    /// Version of the resource.
    pub version: &'a str,
    /// Plural of the resource.
    pub resource: &'a str,
    /// Kind of the object in the review; `Scale` for the scale subresource.
    pub kind: &'a str,
    /// Subresource; empty for the main resource.
    pub subresource: &'a str,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// Name; empty in a collection delete.
    pub name: &'a str,
    /// User name.
    pub username: &'a str,
    /// Groups of the user.
    pub groups: &'a [String],
    /// New state; absent for DELETE.
    pub object: Option<&'a Value>,
    /// Old state; absent for CREATE.
    pub old_object: Option<&'a Value>,
    /// Current time, which decides whether a pause is over.
    pub now: Timestamp,
}

impl Request<'_> {
    /// Whether the object is already being deleted.
    pub(super) fn is_being_deleted(&self) -> bool {
        let old = self.old_object.and_then(|old| field_set::metadata(old, "deletionTimestamp"));
        old.is_some_and(|time| !time.is_null())
    }
}
