//! The body of an apply request. It is stored as text, since a tree of maps takes several times the memory.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use crate::digest::{Digest, Key};

/// A JSON object.
#[derive(Clone, Debug, Default)]
pub struct Body(Box<RawValue>);

impl Body {
    /// Serializes an object. The fields of maps are sorted, so equal objects have equal bodies.
    pub fn new(object: &Value) -> Self {
        // A tree of values always serializes.
        Self(to_raw_value(object).unwrap_or_default())
    }

    /// Parses the object.
    pub fn value(&self) -> Value {
        self.read()
    }

    /// Returns the text, as it is sent.
    pub fn text(&self) -> &RawValue {
        &self.0
    }

    /// Parses a part of the object; returns the default if it is absent.
    pub(crate) fn read<'a, T: Deserialize<'a> + Default>(&'a self) -> T {
        // We can parse what we serialized.
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }

    /// Returns the digest of the object.
    pub fn digest(&self, key: &Key) -> Digest {
        key.digest_text(self.0.get())
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Body {}

/// A body that is parsed on first use. Most bodies are sent without being parsed.
#[derive(Debug)]
pub struct Opened<'a> {
    body: &'a Body,
    value: OnceLock<Value>,
}

impl<'a> Opened<'a> {
    /// Wraps a body without parsing it.
    pub fn new(body: &'a Body) -> Self {
        Self { body, value: OnceLock::new() }
    }

    /// Returns the body as text.
    pub fn body(&self) -> &'a Body {
        self.body
    }

    /// Returns the object, and parses it on first use.
    pub fn value(&self) -> &Value {
        self.value.get_or_init(|| self.body.value())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_objects_are_equal_bodies() {
        let (one, other) = (json!({"b": 1, "a": [{}, "x"]}), json!({"a": [{}, "x"], "b": 1}));
        assert_eq!(Body::new(&one), Body::new(&other));
        assert_ne!(Body::new(&one), Body::new(&json!({"b": 1})));
        assert_eq!(Body::new(&one).text().get(), r#"{"a":[{},"x"],"b":1}"#);
        assert_eq!(Opened::new(&Body::new(&one)).value(), &one);
    }
}
