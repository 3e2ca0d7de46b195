//! Reads the documents of a text. Equals apimachinery's `YAMLOrJSONDecoder`, but without its endless loops.

use serde_json::Value;

use crate::budget::{Budget, Limits};
use crate::chunks::{Chunk, Chunks, Dropped};
use crate::error::{Error, Fault, Reason};
use crate::sniff::{leading_space, looks_like_json};
use crate::text::line_at;
use crate::{document, json};

/// One document of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Number of the document, from 1. Unreadable documents count, too.
    pub number: usize,
    /// Line of the text where the content starts, from 1.
    pub line: usize,
    /// The content; null if the document is empty. Numbers are `i64` where they fit, otherwise `f64`.
    pub value: Value,
}

/// Reads a text document by document. Empty documents are null.
///
/// A text that begins with `{`, apart from white space, is read as a sequence of JSON values. If that fails after at
/// most one value, reading continues as YAML (`{…}`, `---`, YAML). Any other text is YAML, cut at lines that begin with
/// `---`.
///
/// # Errors
/// Each item is a document or an error, and reading continues after an error. The exception is a syntax error after two
/// JSON values, because nothing tells where the next value starts. Reading also ends if [`Limits::documents`] or the
/// memory is exceeded.
pub fn documents<'a>(text: &'a [u8], limits: &Limits) -> Documents<'a> {
    Documents::within(text, Budget::of(limits))
}

/// The documents of a text; see [`documents`].
pub struct Documents<'a> {
    text: &'a [u8],
    budget: Budget,
    number: usize,
    mode: Mode<'a>,
}

enum Mode<'a> {
    Json(Json),
    Yaml(Chunks<'a>),
    Done,
}

/// Position in a stream of JSON values.
#[derive(Clone, Copy)]
struct Json {
    /// Offset after the last value.
    at: usize,
    /// Line of that offset.
    line: usize,
    /// Number of values read without an error.
    decoded: usize,
}

impl<'a> Documents<'a> {
    /// Reads a text that shares its limits with others. `budget` is what the texts before it have left.
    pub fn within(text: &'a [u8], budget: Budget) -> Self {
        let mode = if looks_like_json(text) {
            Mode::Json(Json { at: 0, line: 1, decoded: 0 })
        } else {
            Mode::Yaml(Chunks::new(text, 1, budget.limits().document_bytes))
        };
        Self { text, budget, number: 0, mode }
    }

    /// Returns the rest of the limits.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    fn json(&mut self, last: Json) -> Option<Result<Document, Fault>> {
        let at = json::skip_space(self.text, last.at);
        let start = Json { at, line: self.line(last, at), ..last };
        self.mode = Mode::Done;
        self.text.get(at)?;
        if let Err(fault) = self.count(start.line) {
            return Some(Err(fault));
        }
        let window = self.text.get(..at.saturating_add(self.budget.limits().document_bytes)).unwrap_or(self.text);
        let error = match json::value(window, at, self.budget.limits().depth, &mut self.budget) {
            Ok((value, end)) => {
                self.mode = Mode::Json(Json { at: end, line: self.line(start, end), decoded: last.decoded + 1 });
                return Some(Ok(Document { number: self.number, line: start.line, value }));
            }
            Err(error) => error,
        };
        if error.kind == json::Kind::End && window.len() < self.text.len() {
            self.skip(start);
            return Some(Err(self.too_large(start.line)));
        }
        let fault = Fault::new(Some(self.line(start, error.at)), error.reason);
        match error.kind {
            json::Kind::Limit => self.skip(start),
            json::Kind::Unusable if last.decoded > 1 => self.skip(start),
            _ if last.decoded > 1 => {}
            _ => return self.fall_back(last, fault),
        }
        Some(Err(fault))
    }

    /// Continues after a value that was refused, if its end can be found.
    fn skip(&mut self, start: Json) {
        if let Some(at) = json::skip(self.text, start.at) {
            self.mode = Mode::Json(Json { at, line: self.line(start, at), ..start });
        }
    }

    /// Continues as YAML after the last good value. If YAML fails as well, returns the error of JSON.
    fn fall_back(&mut self, last: Json, fault: Fault) -> Option<Result<Document, Fault>> {
        let Some((rest, line)) = self.yaml_start(last) else { return Some(Err(fault)) };
        self.mode = Mode::Yaml(Chunks::new(rest, line, self.budget.limits().document_bytes));
        let chunk = self.chunk()?;
        Some(self.yaml(chunk).map_err(|_| fault))
    }

    /// Go skips white space up to and including the first line feed, and gives up if fewer than four bytes remain.
    fn yaml_start(&self, last: Json) -> Option<(&'a [u8], usize)> {
        let mut rest = self.text.get(last.at..)?;
        loop {
            let (next, _) = rest.split_at_checked(4)?;
            let (space, length) = leading_space(next)?;
            if !space {
                break;
            }
            rest = rest.get(length..)?;
            if next.starts_with(b"\n") {
                break;
            }
        }
        Some((rest, self.line(last, self.text.len() - rest.len())))
    }

    fn chunk(&mut self) -> Option<Chunk> {
        let Mode::Yaml(chunks) = &mut self.mode else { return None };
        chunks.next()
    }

    fn yaml(&mut self, chunk: Chunk) -> Result<Document, Fault> {
        let line = chunk.line;
        let bytes = match chunk.text {
            Ok(bytes) => bytes,
            Err(Dropped::TooLarge) => return Err(self.too_large(line)),
            Err(Dropped::BadSeparator) => {
                let reason = "text behind a document separator (---), which drops the document before it";
                return Err(Fault::new(Some(line), reason));
            }
        };
        let (line, value) = document::read(bytes, line, &mut self.budget)?;
        Ok(Document { number: self.number, line, value })
    }

    /// Counts a document that starts at this line.
    fn count(&mut self, line: usize) -> Result<(), Fault> {
        self.number += 1;
        self.budget.document().map_err(|reason| {
            self.mode = Mode::Done;
            Fault::new(Some(line), reason)
        })
    }

    fn too_large(&self, line: usize) -> Fault {
        Fault::new(Some(line), Reason::TooLarge(self.budget.limits().document_bytes))
    }

    /// Returns the line of an offset at or after the given position.
    fn line(&self, from: Json, at: usize) -> usize {
        from.line + line_at(self.text.get(from.at..at).unwrap_or_default()) - 1
    }
}

impl Iterator for Documents<'_> {
    type Item = Result<Document, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let document = match self.mode {
            Mode::Json(last) => self.json(last)?,
            Mode::Yaml(_) => {
                let chunk = self.chunk()?;
                self.count(chunk.line).and_then(|()| self.yaml(chunk))
            }
            Mode::Done => return None,
        };
        Some(document.map_err(|Fault { line, reason }| Error { document: self.number, line, reason }))
    }
}
