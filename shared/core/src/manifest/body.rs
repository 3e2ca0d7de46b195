//! The body of an apply request, kept as text: a tree of maps takes several times the memory.

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
    /// Of an object. The fields of maps are sorted, so equal objects are equal bodies.
    pub fn new(object: &Value) -> Self {
        // A tree of values can always be printed.
        Self(to_raw_value(object).unwrap_or_default())
    }

    /// The object.
    pub fn value(&self) -> Value {
        self.read()
    }

    /// As it is sent.
    pub fn text(&self) -> &RawValue {
        &self.0
    }

    /// A part of the object; its default if there is none.
    pub(crate) fn read<'a, T: Deserialize<'a> + Default>(&'a self) -> T {
        // What was printed by us can be read by us.
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }

    /// Digest of the object.
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

/// A body that is made a tree of values when that is first asked for: most are sent as they are.
#[derive(Debug)]
pub struct Opened<'a> {
    body: &'a Body,
    value: OnceLock<Value>,
}

impl<'a> Opened<'a> {
    /// Not opened yet.
    pub fn new(body: &'a Body) -> Self {
        Self { body, value: OnceLock::new() }
    }

    /// The body as text.
    pub fn body(&self) -> &'a Body {
        self.body
    }

    /// The object.
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
