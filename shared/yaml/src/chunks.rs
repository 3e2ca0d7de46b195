//! Cuts a YAML stream into documents, as apimachinery's `YAMLReader` does: by lines, before anything is parsed.

/// What stands between two separators.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The document's text, lines ended by `\n`, or why there is none.
    pub(crate) text: Result<Vec<u8>, Dropped>,
    /// Line on which it starts or, for a bad separator, on which that stands. From 1.
    pub(crate) line: usize,
}

/// Why a document's text is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The line that ends it begins with `---` and goes on with something else than a comment.
    BadSeparator,
    /// It is larger than allowed.
    TooLarge,
}

/// The documents of a text, in order.
pub(crate) struct Chunks<'a> {
    rest: &'a [u8],
    /// Number of the next line.
    line: usize,
    /// Bytes of one document.
    limit: usize,
}

impl<'a> Chunks<'a> {
    /// `line` is the number of the first line of `text`; `limit` bounds one document, in bytes.
    pub(crate) fn new(text: &'a [u8], line: usize, limit: usize) -> Self {
        Self { rest: text, line, limit }
    }

    /// The next line without its end; `\r\n` is an end, too.
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
        // Not the same as `text.is_empty()`: the text of a document that is too large is dropped.
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
                // A separator before any text is part of the document.
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
    // Go trims what Unicode calls white space, of which only ASCII's is of use here.
    let rest = String::from_utf8_lossy(rest);
    let trimmed = rest.trim();
    trimmed.is_empty() || trimmed.starts_with('#')
}
