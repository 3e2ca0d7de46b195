//! The body of an apply request, kept as text: a tree of maps takes several times the memory.

use serde_json::Value;

use crate::digest::{Digest, Key};

/// A JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body(Box<str>);

impl Body {
    /// Of an object. The fields of maps are sorted, so equal objects are equal bodies.
    pub fn new(object: &Value) -> Self {
        Self(object.to_string().into())
    }

    /// The object.
    pub fn value(&self) -> Value {
        // What was printed by us can be read by us.
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Digest of the object.
    pub fn digest(&self, key: &Key) -> Digest {
        key.digest_text(&self.0)
    }
}
