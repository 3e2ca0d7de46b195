//! An admission request, as far as the decision needs it.

use jiff::Timestamp;
use serde_json::Value;

use crate::field_set;

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

impl Request<'_> {
    /// Whether the deletion of the object has begun.
    pub(super) fn is_being_deleted(&self) -> bool {
        let old = self.old_object.and_then(|old| field_set::metadata(old, "deletionTimestamp"));
        old.is_some_and(|time| !time.is_null())
    }
}
