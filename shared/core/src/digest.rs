//! Keyed digests of manifests and of our `managedFields` entries.
//!
//! `status.resources` stores them, so everyone who may read a ManagedResource sees them. A plain digest of a small
//! Secret could be guessed. Therefore they are HMAC-SHA-256 with a key from a Secret, truncated to 128 bits
//! (`docs/design/drift.md`).

use std::fmt;

use ring::hmac;
use serde::Serialize;
use serde_json::Value;

/// A digest of 128 bits. It prints as lower-case hexadecimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Parses the output of [`fmt::Display`]; returns `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        for (position, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * position..2 * position + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A status contains thousands of digests; formatting byte by byte would take milliseconds.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(32);
        for byte in self.0 {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(*DIGITS.get(usize::from(digit)).unwrap_or(&b'0')));
            }
        }
        f.write_str(&text)
    }
}

/// The key of the digests. A new key changes all digests: the controller applies everything once more, which changes
/// nothing.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl Key {
    /// Creates a key from at least 32 random bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Returns the digest of a JSON value. `serde_json` sorts the fields of a map, so equal values have equal digests.
    pub fn digest(&self, value: &Value) -> Digest {
        self.digest_text(&value.to_string())
    }

    /// Like [`Self::digest`], for a value that serializes to JSON. Returns `None` if it does not serialize.
    pub(crate) fn digest_of(&self, value: &impl Serialize) -> Option<Digest> {
        Some(self.digest_text(&serde_json::to_string(value).ok()?))
    }

    /// Returns the digest of a JSON value that is already serialized.
    pub(crate) fn digest_text(&self, text: &str) -> Digest {
        let tag = hmac::sign(&self.0, text.as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Digest(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn digests_depend_on_value_and_key_and_survive_text() {
        let (key, other) = (Key::new(&[1; 32]), Key::new(&[2; 32]));
        let digest = key.digest(&json!({"a": 1, "b": 2}));
        assert_eq!(digest, key.digest(&serde_json::from_str(r#"{"b":2,"a":1}"#).unwrap()));
        assert_ne!(digest, key.digest(&json!({"a": 1})));
        assert_ne!(digest, other.digest(&json!({"a": 1, "b": 2})));
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        for bad in ["", "0", "zz", &"g".repeat(32), &"ü".repeat(16)] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
        assert_eq!(format!("{key:?}"), "Key(..)");
    }
}
