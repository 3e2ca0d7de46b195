//! Quotes texts as words of a command that users paste into a POSIX shell.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

/// Returns a text as one word, and quotes it only if a shell would misread it.
pub(super) fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:@+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) { Cow::Borrowed(text) } else { Cow::Owned(quoted(text)) }
}

/// Puts a text in single quotes. A shell interprets nothing in them but the quotes themselves.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Serializes JSON, and escapes whatever a terminal would obey, hide or reorder. JSON allows such escapes, since these
/// characters occur only in strings.
pub(super) fn visible_json(value: &Value) -> String {
    let json = value.to_string();
    if json.is_ascii() && !json.contains('\u{7f}') {
        // `to_string` already escapes control characters.
        return json;
    }
    let mut visible = String::with_capacity(json.len());
    for character in json.chars() {
        // `escape_debug` escapes unprintable characters, and characters that JSON escapes already.
        let is_shown = character.is_ascii() && character != '\u{7f}' || character.escape_debug().count() == 1;
        if is_shown {
            visible.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String does not fail.
                let _ = write!(visible, "\\u{unit:04x}");
            }
        }
    }
    visible
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        for (text, expected) in [
            ("default", "default"),
            ("a.b-c", "a.b-c"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)", "'$(reboot)'"),
            ("a;b", "'a;b'"),
            ("ü", "'ü'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }

    #[test]
    fn json_is_the_same_and_can_be_seen() {
        for (text, expected) in [
            ("team:ü b", r#""team:ü b""#),
            ("a\nb", r#""a\nb""#),
            ("a\u{9b}2J", r#""a\u009b2J""#),
            ("a\u{7f}", r#""a\u007f""#),
            ("\u{202e}x", r#""\u202ex""#),
            ("\u{e0001}", r#""\udb40\udc01""#),
        ] {
            let visible = visible_json(&json!(text));
            assert_eq!(visible, expected);
            assert_eq!(serde_json::from_str::<Value>(&visible).unwrap(), json!(text));
        }
    }
}
