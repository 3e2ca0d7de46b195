//! Names and values of labels, and names of annotations.

use crate::object_name::is_domain;

const RULE: &str = "letters, digits, '-', '_' and '.', 63 at most, the first and the last a letter or a digit";

/// Returns why the API server would refuse this label value.
pub(crate) fn wrong_value(key: &str, value: &str) -> Option<String> {
    let is_right = value.is_empty() || is_label_text(value);
    (!is_right).then(|| format!("the value of {key} is not valid ({RULE})"))
}

/// Returns why the API server would refuse this name of a label or an annotation.
pub(crate) fn wrong_name(key: &str) -> Option<String> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_some_and(|prefix| !is_domain(prefix)) {
        Some(format!("the prefix of the name {key:?} is no domain"))
    } else if !is_label_text(name) {
        Some(format!("the name {key:?} is not valid ({RULE})"))
    } else {
        None
    }
}

/// Whether a text is a non-empty label value, or the name of a label without its prefix.
pub fn is_label_text(text: &str) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}
