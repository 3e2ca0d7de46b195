//! Whether a body can be a JSON object: enough to tell an answer from an error page or from half an answer, without reading it
//! twice.

/// Looks at the bytes of a body one piece after the other.
#[derive(Debug, Default)]
pub(super) struct Shape {
    depth: usize,
    place: Place,
    has_begun: bool,
    is_wrong: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Structure,
    Text,
    /// In a text, after a backslash.
    Escape,
}

impl Shape {
    /// Takes in the next piece.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.step(*byte);
        }
    }

    /// Whether what was taken in is one object from brace to brace.
    pub(super) fn is_whole(&self) -> bool {
        self.has_begun && self.depth == 0 && !self.is_wrong
    }

    fn step(&mut self, byte: u8) {
        if self.place != Place::Structure {
            self.place = match byte {
                _ if self.place == Place::Escape => Place::Text,
                b'\\' => Place::Escape,
                b'"' => Place::Structure,
                _ => Place::Text,
            };
            return;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            // Something before the object, or after it.
            _ if self.depth == 0 && (byte != b'{' || self.has_begun) => self.is_wrong = true,
            b'"' => self.place = Place::Text,
            b'{' | b'[' => (self.depth, self.has_begun) = (self.depth + 1, true),
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_pages_and_halves_are_no_answers() {
        for (body, expected) in [
            (r#"{"kind":"List","items":[{"a":"}\"{"}]}"#, true),
            (" {} \n", true),
            ("", false),
            ("<html>{}</html>", false),
            ("upstream connect error", false),
            (r#"{"kind":"List","items":[{"a":1}"#, false),
            (r#"{"kind":"Li"#, false),
            ("{}{}", false),
            ("[]", false),
            ("}", false),
        ] {
            for size in [1, 2, 1000] {
                let mut shape = Shape::default();
                body.as_bytes().chunks(size).for_each(|piece| shape.take(piece));
                assert_eq!(shape.is_whole(), expected, "{body}");
            }
        }
    }
}
