//! The body of an apply request, kept as text: a tree of maps takes several times the memory.

use serde_json::Value;

use crate::{
    digest::{Digest, Key},
    foreign::Reach,
};

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

    /// Digest of the object, and of what else of it is to be as declared: where that grows, all objects have to be looked at.
    pub fn digest_with(&self, reach: Reach, key: &Key) -> Digest {
        if !reach.is_forced() {
            return key.digest_text(&self.0);
        }
        key.digest_text(&format!("{}{}{}", u8::from(reach.labels), u8::from(reach.annotations), self.0))
    }
}
