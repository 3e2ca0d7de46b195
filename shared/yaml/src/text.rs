//! Characters that YAML 1.1 and 1.2 read differently.

use std::borrow::Cow;
use std::collections::BTreeSet;

use granit_parser::{ScalarStyle, Span};

use crate::error::Fault;

/// Line breaks of YAML 1.1 that stay in a text (while U+0085 counts as `\n`).
const BREAKS: [char; 2] = ['\u{2028}', '\u{2029}'];

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A document's text, made ready for a parser of YAML 1.2.
///
/// YAML 1.1 takes a `-` and a `:` right before a bracket or a comma for text (`[cat, -]`, `[a:, b]`), 1.2 does not; the same
/// goes for byte order marks; and Go knows the escape `\'`. They are hidden behind characters that the text does not use
/// and that mean nothing, and come back in each scalar.
pub(crate) struct Text {
    text: String,
    /// What stands for what.
    hidden: Vec<(char, char)>,
}

impl Text {
    /// From a document's bytes, or why they cannot be parsed: Go's reader takes no control characters.
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
        // At the start it says what encoding this is, elsewhere it is a character as any other to Go.
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

    /// Whether YAML 1.1 would take what follows a tag for a part of it.
    pub(crate) fn is_tag_glued(&self, tag: Span) -> bool {
        let after = tag.end.byte_offset().and_then(|end| self.text.get(end..));
        after.is_some_and(|after| after.starts_with([',', '[', ']']))
    }

    /// Changes what stops the parser, but not Go, at a place. False if there is nothing to change.
    pub(crate) fn mend(&mut self, mend: Mend) -> bool {
        match mend {
            Mend::GluedComment(at) => self.separate_comment(at),
            Mend::Tab(at) => self.indent_with_spaces(at),
        }
    }

    /// `"a"# b`: Go wants no space before the comment.
    fn separate_comment(&mut self, at: usize) -> bool {
        let there = self.text.get(at..).is_some_and(|rest| rest.starts_with('#'));
        if there {
            self.text.insert(at, ' ');
        }
        there
    }

    /// Go takes tabs for indentation between brackets. As many spaces as the line before is long are an indentation that
    /// fits nothing else.
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

    /// Hides a character at those places that the predicate picks from the text.
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

    /// A scalar of the text as it was before.
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

/// A character for private use that a text does not use.
fn unused(text: &str) -> Option<char> {
    let private = '\u{e000}'..='\u{f8ff}';
    let used: BTreeSet<char> = text.chars().filter(|c| private.contains(c)).collect();
    private.clone().find(|c| !used.contains(c))
}

/// A place, in bytes, that stops the parser but not Go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mend {
    /// A comment right behind a value.
    GluedComment(usize),
    /// A tab in, or right before this place.
    Tab(usize),
}

/// Whether a `-` starts a scalar that YAML 1.2 would not take it for.
fn starts_dash(text: &[u8], at: usize) -> bool {
    is_flow_indicator(after(text, at))
        && (is_flow_indicator(before(text, at)) || matches!(before(text, at), b' ' | b'\t' | b'\r' | b'\n' | b':'))
}

/// Whether a `:`, behind a plain scalar, ends a key in YAML 1.2 only.
fn ends_colon(text: &[u8], at: usize) -> bool {
    is_flow_indicator(after(text, at))
        && !is_flow_indicator(before(text, at))
        && !matches!(before(text, at), b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'')
}

/// Whether a backslash escapes a single quote, if it is in double quotes at all.
fn escapes_quote(text: &[u8], at: usize) -> bool {
    let before = || text.get(..at).unwrap_or_default().iter().rev().take_while(|&&byte| byte == b'\\').count();
    after(text, at) == b'\'' && before().is_multiple_of(2)
}

/// The byte before a place; a line feed before the first.
fn before(text: &[u8], at: usize) -> u8 {
    at.checked_sub(1).and_then(|at| text.get(at)).copied().unwrap_or(b'\n')
}

/// The byte behind an ASCII character; a line feed behind the last.
fn after(text: &[u8], at: usize) -> u8 {
    text.get(at + 1).copied().unwrap_or(b'\n')
}

fn is_flow_indicator(byte: u8) -> bool {
    matches!(byte, b',' | b'[' | b']' | b'{' | b'}')
}

/// Number of the line that starts or goes on behind `before`, from 1.
pub(crate) fn line_at(before: &[u8]) -> usize {
    before.split(|&byte| byte == b'\n').count()
}

fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

/// Characters of an anchor's name in YAML 1.1.
pub(crate) fn is_anchor_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// How many U+2028 and U+2029 a text holds.
pub(crate) fn breaks(text: &str) -> usize {
    text.matches(BREAKS).count()
}

/// How many U+2028 and U+2029 of a scalar are kept by Go as well: in quotes, and next to nothing that is folded.
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
