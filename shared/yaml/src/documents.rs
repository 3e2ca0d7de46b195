//! The documents of a text: apimachinery's `YAMLOrJSONDecoder`, without its endless loops.

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
    /// Counted from 1; documents that could not be read count as well.
    pub number: usize,
    /// Line of the text where the content starts, from 1.
    pub line: usize,
    /// The content; null for a document without any. Numbers are `i64` where that fits, `f64` otherwise.
    pub value: Value,
}

/// Reads a text document by document; empty documents are null.
///
/// A text whose first byte that is not blank is `{` is read as JSON values one after the other, and goes on as YAML where,
/// after at most one value, that fails (`{…}`, `---`, YAML). All other texts are YAML, cut at lines that begin with `---`.
///
/// # Errors
/// Each item is a document or an error. Reading goes on behind an error, except behind the second JSON value: there is
/// nothing to tell where the next one starts. It also ends where [`Limits::documents`] or the memory is exceeded.
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

/// Where a stream of JSON values stands.
#[derive(Clone, Copy)]
struct Json {
    /// Offset behind the last value.
    at: usize,
    /// Line of that offset.
    line: usize,
    /// How many values were good.
    decoded: usize,
}

impl<'a> Documents<'a> {
    /// The documents of a text that shares its limits with others: `budget` is what remained behind the text before it.
    pub fn within(text: &'a [u8], budget: Budget) -> Self {
        let mode = if looks_like_json(text) {
            Mode::Json(Json { at: 0, line: 1, decoded: 0 })
        } else {
            Mode::Yaml(Chunks::new(text, 1, budget.limits().document_bytes))
        };
        Self { text, budget, number: 0, mode }
    }

    /// What remains of the limits.
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

    /// Goes on behind a value that was not taken, if its end can be found.
    fn skip(&mut self, start: Json) {
        if let Some(at) = json::skip(self.text, start.at) {
            self.mode = Mode::Json(Json { at, line: self.line(start, at), ..start });
        }
    }

    /// Reads on as YAML behind the last good value; the fault is JSON's if YAML fails as well.
    fn fall_back(&mut self, last: Json, fault: Fault) -> Option<Result<Document, Fault>> {
        let Some((rest, line)) = self.yaml_start(last) else { return Some(Err(fault)) };
        self.mode = Mode::Yaml(Chunks::new(rest, line, self.budget.limits().document_bytes));
        let chunk = self.chunk()?;
        Some(self.yaml(chunk).map_err(|_| fault))
    }

    /// Go drops white space up to and including the first line feed, and gives up where fewer than four bytes are left.
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

    /// Counts a document, which starts at that line.
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

    /// The line of an offset that is not before the given place.
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
