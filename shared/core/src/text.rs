//! Cutting texts.

/// Returns the start of a text, at most `most` bytes long.
///
/// As `str::floor_char_boundary` of Rust 1.91.
pub fn start(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::start;

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, most, expected) in [("", 3, ""), ("abc", 3, "abc"), ("abc", 2, "ab"), ("aü", 2, "a"), ("ü", 1, "")]
        {
            assert_eq!(start(text, most), expected);
        }
    }
}
