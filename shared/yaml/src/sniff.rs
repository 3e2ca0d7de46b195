//! Tells JSON from YAML, as apimachinery does.

/// Bytes at the start of a text in which Go looks for the brace that makes it JSON.
const SNIFF: usize = 1024;

/// Whether the first character other than white space is `{`.
pub(crate) fn looks_like_json(text: &[u8]) -> bool {
    let mut rest = text.get(..SNIFF).unwrap_or(text);
    while let Some((true, length)) = leading_space(rest) {
        rest = rest.get(length..).unwrap_or_default();
    }
    rest.starts_with(b"{")
}

/// Whether the first character is white space, and its length in bytes. Returns `None` for an empty text or invalid
/// UTF-8.
pub(crate) fn leading_space(text: &[u8]) -> Option<(bool, usize)> {
    let head = text.get(..4).unwrap_or(text);
    let valid = match std::str::from_utf8(head) {
        Ok(valid) => valid,
        Err(error) => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
    };
    let first = valid.chars().next()?;
    Some((first.is_whitespace(), first.len_utf8()))
}
