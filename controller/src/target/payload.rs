//! What an apply sends.

use holdfast_core::manifest::body::Body;
use serde_json::Value;

/// What is to be applied of an object.
pub(crate) struct Cut<'a> {
    pub(crate) content: Content<'a>,
    /// The object that it was made for.
    pub(crate) uid: Option<String>,
}

/// Of a manifest.
pub(crate) enum Content<'a> {
    /// All, as it is.
    Whole(&'a Body),
    /// Not what is left to others.
    Part(Value),
}
