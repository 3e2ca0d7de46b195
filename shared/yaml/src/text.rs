//! Handles characters that YAML 1.1 and 1.2 read differently.

use std::borrow::Cow;
use std::collections::BTreeSet;

use granit_parser::{ScalarStyle, Span};

use crate::error::Fault;

/// Line breaks of YAML 1.1 that stay in a text. (U+0085 becomes `\n`.)
const BREAKS: [char; 2] = ['\u{2028}', '\u{2029}'];

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a document, prepared for a parser of YAML 1.2.
///
/// Right before a bracket or a comma, YAML 1.1 reads `-` and `:` as text (`[cat, -]`, `[a:, b]`), and YAML 1.2 does
/// not. The versions also differ in byte order marks, and Go accepts the escape `\'`. We replace these characters by
/// others that have no meaning and do not occur in the text, and restore them in each scalar.
pub(crate) struct Text {
    text: String,
    /// Pairs of a substitute and the character that it hides.
    hidden: Vec<(char, char)>,
}

impl Text {
    /// Prepares the bytes of a document, or returns why they cannot be parsed. Go's reader refuses control characters.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, Fault> {
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let (valid, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
                return Err(Fault::new(Some(line_at(valid)), "the text is not UTF-8"));
            }
        };
        if let Some((at, _)) = text.char_indices().find(|&(_, c)| !is_allowed(c)) {
            let (before, _) = text.split_at(at);
            return Err(Fault::new(Some(line_at(before.as_bytes())), "a control character in the text"));
        }
        let mut text =
            if text.contains('\u{85}') { text.replace("\r\u{85}", "\n\n").replace('\u{85}', "\n") } else { text };
        // At the start, a byte order mark tells the encoding. OtherProgram Go treats it as an ordinary character.
        text.drain(..text.len() - text.trim_start_matches(BYTE_ORDER_MARK).len());
        let text = Self { text, hidden: Vec::new() };
        let text = text.hide(BYTE_ORDER_MARK, |_, _| true).hide('\\', escapes_quote);
        Ok(text.hide('-', starts_dash).hide(':', ends_colon))
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether YAML 1.1 would read the text after a tag as part of the tag.
    pub(crate) fn is_tag_glued(&self, tag: Span) -> bool {
        let after = tag.end.byte_offset().and_then(|end| self.text.get(end..));
        after.is_some_and(|after| after.starts_with([',', '[', ']']))
    }

    /// Corrects a place that stops the parser but not Go. Returns false if there is nothing to change.
    pub(crate) fn mend(&mut self, mend: Mend) -> bool {
        match mend {
            Mend::GluedComment(at) => self.separate_comment(at),
            Mend::Tab(at) => self.indent_with_spaces(at),
        }
    }

    /// Corrects `"a"# b`: Go requires no space before the comment.
    fn separate_comment(&mut self, at: usize) -> bool {
        let there = self.text.get(at..).is_some_and(|rest| rest.starts_with('#'));
        if there {
            self.text.insert(at, ' ');
        }
        there
    }

    /// Replaces tabs, which Go accepts as indentation between brackets. Inserts more spaces than the previous line is
    /// long, an indentation that matches no other line.
    fn indent_with_spaces(&mut self, at: usize) -> bool {
        let Some((before, _)) = self.text.split_at_checked(at) else { return false };
        let start = before.rfind('\n').map_or(0, |feed| feed + 1);
        let (before, line) = self.text.split_at(start);
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        let before = before.trim_end();
        let tabs = line.get(..indentation).is_some_and(|indentation| indentation.contains('\t'));
        if !tabs || !before.ends_with(['{', '[', '}', ']', ',', ':', '"', '\'']) {
            return false;
        }
        let last = before.len() - before.rfind('\n').map_or(0, |feed| feed + 1);
        self.text.replace_range(start..start + indentation, &" ".repeat(last + 1));
        true
    }

    /// Hides a character at the places that the predicate selects.
    fn hide(mut self, hidden: char, is_meant: impl Fn(&[u8], usize) -> bool) -> Self {
        let bytes = self.text.as_bytes();
        let mut places = self.text.match_indices(hidden).map(|(at, _)| at).filter(|&at| is_meant(bytes, at)).peekable();
        if places.peek().is_none() {
            return self;
        }
        let Some(stand_in) = unused(&self.text) else { return self };
        let mut text = String::with_capacity(self.text.len());
        let mut from = 0;
        for at in places {
            text.push_str(self.text.get(from..at).unwrap_or_default());
            text.push(stand_in);
            from = at + hidden.len_utf8();
        }
        text.push_str(self.text.get(from..).unwrap_or_default());
        self.text = text;
        self.hidden.push((stand_in, hidden));
        self
    }

    /// Restores the hidden characters in a scalar.
    pub(crate) fn restore<'a>(&self, mut scalar: Cow<'a, str>, style: ScalarStyle) -> Cow<'a, str> {
        for (stand_in, hidden) in &self.hidden {
            if scalar.contains(*stand_in) {
                let mut buffer = [0; 4];
                let original = match (hidden, style) {
                    ('\\', ScalarStyle::DoubleQuoted) => "",
                    _ => hidden.encode_utf8(&mut buffer),
                };
                scalar = Cow::Owned(scalar.replace(*stand_in, original));
            }
        }
        scalar
    }
}

/// Returns a private-use character that does not occur in a text.
fn unused(text: &str) -> Option<char> {
    let private = '\u{e000}'..='\u{f8ff}';
    let used: BTreeSet<char> = text.chars().filter(|c| private.contains(c)).collect();
    private.clone().find(|c| !used.contains(c))
}

/// A place that stops the parser but not Go, as an offset in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mend {
    /// A comment right after a value.
    GluedComment(usize),
    /// A tab at this place, or right before it.
    Tab(usize),
}

/// Whether YAML 1.1 reads a `-` as a scalar where YAML 1.2 does not.
fn starts_dash(text: &[u8], at: usize) -> bool {
    is_flow_indicator(after(text, at))
        && (is_flow_indicator(before(text, at)) || matches!(before(text, at), b' ' | b'\t' | b'\r' | b'\n' | b':'))
}

/// Whether a `:` after a plain scalar ends a key in YAML 1.2 but not in 1.1.
fn ends_colon(text: &[u8], at: usize) -> bool {
    is_flow_indicator(after(text, at))
        && !is_flow_indicator(before(text, at))
        && !matches!(before(text, at), b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'')
}

/// Whether a backslash would escape a single quote, within double quotes.
fn escapes_quote(text: &[u8], at: usize) -> bool {
    let before = || text.get(..at).unwrap_or_default().iter().rev().take_while(|&&byte| byte == b'\\').count();
    after(text, at) == b'\'' && before().is_multiple_of(2)
}

/// Returns the byte before a place, and a line feed before the first byte.
fn before(text: &[u8], at: usize) -> u8 {
    at.checked_sub(1).and_then(|at| text.get(at)).copied().unwrap_or(b'\n')
}

/// Returns the byte after an ASCII character, and a line feed after the last byte.
fn after(text: &[u8], at: usize) -> u8 {
    text.get(at + 1).copied().unwrap_or(b'\n')
}

fn is_flow_indicator(byte: u8) -> bool {
    matches!(byte, b',' | b'[' | b']' | b'{' | b'}')
}

/// Returns the number of the line that starts or continues after `before`, from 1.
pub(crate) fn line_at(before: &[u8]) -> usize {
    before.split(|&byte| byte == b'\n').count()
}

fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether YAML 1.1 allows a character in the name of an anchor.
pub(crate) fn is_anchor_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// Counts U+2028 and U+2029 in a text.
pub(crate) fn breaks(text: &str) -> usize {
    text.matches(BREAKS).count()
}

/// Counts the U+2028 and U+2029 of a scalar that Go keeps, too: in quotes, and not next to a character that is folded.
pub(crate) fn certain_breaks(text: &str, span: &Span, style: ScalarStyle) -> usize {
    if !matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
        return 0;
    }
    let Some(raw) = span.slice(text) else { return 0 };
    let folded = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\\' | '-' | '.');
    raw.match_indices(BREAKS)
        .filter(|(at, found)| {
            let (before, rest) = raw.split_at(*at);
            let after = rest.strip_prefix(found).unwrap_or(rest);
            !before.ends_with(folded) && !after.starts_with(folded)
        })
        .count()
}
