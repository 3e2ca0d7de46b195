//! Segments of URL paths: names, namespaces, plurals, groups, versions and subresources.
//!
//! Kubernetes allows blanks, `?`, `#` and more in some names (in those of RBAC, for example), and kube puts names into
//! URLs unescaped: `victim#1` would reach `victim`. So every part of a path goes through [`segment`].

use std::borrow::Cow;
use std::fmt::Write as _;

/// Longest segment in bytes. The `http` crate accepts URLs of 64 KiB; the rest is for the other segments and the query.
const LONGEST: usize = 60_000;

/// Why a text cannot be a path segment, whatever the kind of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// `.` and `..` lead to another path, encoded or not.
    #[error("it is '.' or '..'")]
    Dots,
    /// The API server decodes a path before it splits it, and accepts no name with `/` or `%`.
    #[error("it contains '/' or '%'")]
    Separator,
    /// No request can carry a segment of this length.
    #[error("it is longer than {LONGEST} bytes in a URL")]
    TooLong,
}

/// Checks that a text can be a segment of the path to an object.
///
/// # Errors
/// The text cannot be a segment, so no object has this name.
pub fn check(text: &str) -> Result<(), SegmentError> {
    match text {
        "" => Err(SegmentError::Empty),
        "." | ".." => Err(SegmentError::Dots),
        _ if text.contains(['/', '%']) => Err(SegmentError::Separator),
        _ if encoded_length(text) > LONGEST => Err(SegmentError::TooLong),
        _ => Ok(()),
    }
}

/// Encodes a text as a path segment. It percent-encodes everything but the unreserved characters of RFC 3986.
///
/// The server decodes the segment back to the text. A text that [`check`] refuses is encoded twice: the server sees a
/// name that no object has, and never another path.
pub fn segment(text: &str) -> Cow<'_, str> {
    match check(text) {
        Ok(()) => encoded(text),
        Err(SegmentError::Empty) => Cow::Borrowed("%25"),
        Err(SegmentError::Dots) => Cow::Owned(text.replace('.', "%252E")),
        Err(_) => Cow::Owned(encoded(&encoded(text)).into_owned()),
    }
}

fn encoded(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_unreserved) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(encoded_length(text));
    for byte in text.bytes() {
        if is_unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Cow::Owned(encoded)
}

fn encoded_length(text: &str) -> usize {
    text.bytes().map(|byte| if is_unreserved(byte) { 1 } else { 3 }).sum()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes a path as Go's `net/url` does before a server splits it.
    fn decoded(path: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = path.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn names_are_encoded_and_ordinary_ones_are_not_touched() {
        for (text, expected) in [
            ("plain-name.v1_x~", "plain-name.v1_x~"),
            ("system:node", "system%3Anode"),
            ("victim#1", "victim%231"),
            ("victim?watch=true", "victim%3Fwatch%3Dtrue"),
            ("a b", "a%20b"),
            ("a+b&c@d'e\"", "a%2Bb%26c%40d%27e%22"),
            ("ü", "%C3%BC"),
            ("a\nb\0", "a%0Ab%00"),
            ("...", "..."),
        ] {
            assert_eq!((segment(text).as_ref(), check(text)), (expected, Ok(())), "{text:?}");
        }
        assert!(matches!(segment("plain-name.v1"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_no_segment_leads_to_nothing() {
        use SegmentError::{Dots, Empty, Separator, TooLong};
        let long = "ü".repeat(LONGEST / 6 + 1);
        for (text, expected) in [
            ("", Empty),
            (".", Dots),
            ("..", Dots),
            ("a/b", Separator),
            ("/", Separator),
            ("a%2Fb", Separator),
            ("a%00", Separator),
            ("../secrets/x", Separator),
            (&long, TooLong),
        ] {
            assert_eq!(check(text), Err(expected), "{text:?}");
            let seen = decoded(&segment(text));
            assert!(seen.contains('%') && !seen.contains('/'), "{text:?} is seen as {seen:?}");
        }
    }

    proptest! {
        #[test]
        fn a_server_sees_what_was_meant(text in any::<String>()) {
            let segment = segment(&text);
            prop_assert!(segment.bytes().all(|byte| is_unreserved(byte) || byte == b'%'));
            let seen = decoded(&segment);
            match check(&text) {
                Ok(()) => prop_assert_eq!(seen, text),
                Err(_) => prop_assert!(seen.contains('%') && !seen.contains('/')),
            }
        }
    }
}
