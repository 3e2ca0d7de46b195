//! What an apply sends.

use holdfast_core::manifest::body::Body;
use serde_json::Value;

/// The body of an apply.
pub(crate) struct ApplyPayload<'a> {
    pub(crate) fields: PayloadFields<'a>,
    /// The object that it was made for.
    pub(crate) uid: Option<String>,
}

/// Which fields of the manifest are sent.
pub(crate) enum PayloadFields<'a> {
    /// All of them.
    All(&'a Body),
    /// Those that we manage.
    Managed(Value),
}
