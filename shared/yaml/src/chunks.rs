//! Cuts a YAML stream into documents as apimachinery's `YAMLReader` does: by lines, before anything is parsed.

/// The text between two separators.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Text of the document, with lines that end in `\n`, or the reason why it was dropped.
    pub(crate) text: Result<Vec<u8>, Dropped>,
    /// Line where the document starts, or the line of a bad separator. Counted from 1.
    pub(crate) line: usize,
}

/// Why the text of a document was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The line that ends the document begins with `---`, and continues with something other than a comment.
    BadSeparator,
    /// The document is larger than allowed.
    TooLarge,
}

/// The documents of a text, in order.
pub(crate) struct Chunks<'a> {
    rest: &'a [u8],
    /// Number of the next line.
    line: usize,
    /// Largest document, in bytes.
    limit: usize,
}

impl<'a> Chunks<'a> {
    /// `line` is the number of the first line of `text`. `limit` bounds one document, in bytes.
    pub(crate) fn new(text: &'a [u8], line: usize, limit: usize) -> Self {
        Self { rest: text, line, limit }
    }

    /// Returns the next line without its line break, which is `\n` or `\r\n`.
    fn next_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        if let Some(end) = self.rest.iter().position(|&b| b == b'\n') {
            let (line, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            return Some(line.strip_suffix(b"\r").unwrap_or(line));
        }
        Some(std::mem::take(&mut self.rest))
    }
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let start = self.line;
        let mut text = Vec::new();
        // This differs from `text.is_empty()`, since the text of a document that is too large is dropped.
        let mut seen = false;
        let mut too_large = false;
        while let Some(line) = self.next_line() {
            if let Some(rest) = line.strip_prefix(b"---") {
                if !is_blank_or_comment(rest) {
                    return Some(Chunk { text: Err(Dropped::BadSeparator), line: self.line - 1 });
                }
                if seen {
                    break;
                }
                // A separator before any text belongs to the document.
            }
            seen = true;
            too_large |= text.len() + line.len() >= self.limit;
            if too_large {
                text = Vec::new();
            } else {
                text.extend_from_slice(line);
                text.push(b'\n');
            }
        }
        let text = if too_large { Err(Dropped::TooLarge) } else { Ok(text) };
        seen.then_some(Chunk { text, line: start })
    }
}

fn is_blank_or_comment(rest: &[u8]) -> bool {
    // Go trims Unicode white space, but only ASCII white space matters here.
    let rest = String::from_utf8_lossy(rest);
    let trimmed = rest.trim();
    trimmed.is_empty() || trimmed.starts_with('#')
}
