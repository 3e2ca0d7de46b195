//! The documents of one key: apimachinery's `YAMLOrJSONDecoder`, without its endless loops.

use serde_json::Value;

use crate::arena::Arena;
use crate::budget::{Budget, Limits};
use crate::chunks::{Chunk, Chunks, Lost};
use crate::construct::construct;
use crate::fault::Fault;
use crate::text::{Text, line_at};
use crate::{compose, json};

/// How far into a text Go looks for the brace that makes it JSON, in bytes.
const SNIFF: usize = 1024;

/// One document of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Counted from 1; documents that could not be read count as well.
    pub number: usize,
    /// Line of the text where the content starts, from 1.
    pub line: usize,
    /// The content; null for a document without any. Numbers are `i64` where that fits, `f64` otherwise.
    pub value: Value,
}

/// A document that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// Number of the document, from 1.
    pub document: Option<usize>,
    /// Line of the text, from 1, where known.
    pub line: Option<usize>,
    /// What is wrong; quotes nothing of the text.
    pub reason: String,
}

/// Decodes the text of one key, document by document; empty documents are null.
///
/// A text whose first byte that is not blank is `{` is read as JSON values one after the other, and goes on as YAML where,
/// after at most one value, that fails (`{…}`, `---`, YAML). All other texts are YAML, cut at lines that begin with `---`.
///
/// # Errors
/// Each item is a document or a fault. The stream goes on behind a fault, except behind the second JSON value: there is
/// nothing to tell where the next one starts. It also ends where [`Limits::documents`] is exceeded.
pub fn decode_stream<'a>(text: &'a [u8], limits: &Limits) -> Stream<'a> {
    Stream::new(text, limits, Budget::of(limits))
}

/// The documents of a text; see [`decode_stream`].
pub struct Stream<'a> {
    text: &'a [u8],
    limits: Limits,
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

impl<'a> Stream<'a> {
    /// The documents of a text, taken from what earlier texts have left of the limits.
    pub fn new(text: &'a [u8], limits: &Limits, budget: Budget) -> Self {
        let mode = if looks_like_json(text) {
            Mode::Json(Json { at: 0, line: 1, decoded: 0 })
        } else {
            Mode::Yaml(Chunks::new(text, 1, limits.document_bytes))
        };
        Self { text, limits: *limits, budget, number: 0, mode }
    }

    /// What is left of the limits.
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
        let window = self.text.get(..at.saturating_add(self.limits.document_bytes)).unwrap_or(self.text);
        let error = match json::value(window, at, self.limits.depth, &mut self.budget) {
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
        self.mode = Mode::Yaml(Chunks::new(rest, line, self.limits.document_bytes));
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
            Err(Lost::TooLarge) => return Err(self.too_large(line)),
            Err(Lost::BadSeparator) => {
                let reason = "text behind a document separator (---), which drops the document before it";
                return Err(Fault::new(Some(line), reason));
            }
        };
        self.parse(bytes, line)
            .map_err(|fault| Fault { line: Some(fault.line.map_or(line, |at| line + at - 1)), ..fault })
    }

    /// The document in a text that starts on `line`; faults carry lines of the text.
    fn parse(&mut self, bytes: Vec<u8>, line: usize) -> Result<Document, Fault> {
        let mut text = Text::new(bytes)?;
        loop {
            let failure = match compose::parse(&text, self.limits.depth) {
                Ok(arena) => return self.construct(&arena, line),
                Err(failure) => failure,
            };
            if !compose::mend(&mut text, &failure) || !self.budget.reparse(text.len()) {
                return Err(failure.fault);
            }
        }
    }

    fn construct(&mut self, arena: &Arena<'_>, line: usize) -> Result<Document, Fault> {
        let value = construct(arena, self.limits.depth, &mut self.budget)?;
        let line = arena.get(0).map_or(line, |node| line + node.line - 1);
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
        Fault::new(Some(line), format!("the document exceeds {} bytes", self.limits.document_bytes))
    }

    /// The line of an offset that is not before the given place.
    fn line(&self, from: Json, at: usize) -> usize {
        from.line + line_at(self.text.get(from.at..at).unwrap_or_default()) - 1
    }
}

impl Iterator for Stream<'_> {
    type Item = Result<Document, DocumentError>;

    fn next(&mut self) -> Option<Self::Item> {
        let document = match self.mode {
            Mode::Json(last) => self.json(last)?,
            Mode::Yaml(_) => {
                let chunk = self.chunk()?;
                self.count(chunk.line).and_then(|()| self.yaml(chunk))
            }
            Mode::Done => return None,
        };
        Some(document.map_err(|Fault { line, reason }| DocumentError {
            document: Some(self.number),
            line,
            reason: reason.into_owned(),
        }))
    }
}

/// Whether the first character that is not white space is `{`.
fn looks_like_json(text: &[u8]) -> bool {
    let mut rest = text.get(..SNIFF).unwrap_or(text);
    while let Some((true, length)) = leading_space(rest) {
        rest = rest.get(length..).unwrap_or_default();
    }
    rest.starts_with(b"{")
}

/// Whether the first character is white space, and its length in bytes. None if there is none or it is not UTF-8.
fn leading_space(text: &[u8]) -> Option<(bool, usize)> {
    let head = text.get(..4).unwrap_or(text);
    let valid = match std::str::from_utf8(head) {
        Ok(valid) => valid,
        Err(error) => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
    };
    let first = valid.chars().next()?;
    Some((first.is_whitespace(), first.len_utf8()))
}
