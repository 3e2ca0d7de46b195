//! Reads one JSON value as Go's `encoding/json` does.
//!
//! `serde_json` does not fit here. It refuses some input that Go reads (lone surrogates, bytes that are not UTF-8), its
//! default build rounds some floats incorrectly, and it cannot say where to continue after a value that is too deep.

use serde_json::{Map, Value};

use crate::budget::Budget;
use crate::error::Reason;
use crate::number;

mod text;

/// Why a value could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) kind: Kind,
    /// Offset in bytes where the error was found.
    pub(crate) at: usize,
    pub(crate) reason: Reason,
}

/// The kind of an error, which decides whether reading can continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not JSON.
    Syntax,
    /// The text ends inside the value.
    End,
    /// A number that Go's JSON reader cannot represent.
    Unusable,
    /// Deeper or larger than allowed.
    Limit,
}

/// Reads the value at `start`. Returns it with the offset after it. The budget is charged for what is built.
pub(crate) fn value(text: &[u8], start: usize, depth: usize, budget: &mut Budget) -> Result<(Value, usize), Error> {
    let mut reader = Reader { text, at: start, budget, unusable: None };
    let value = reader.value(depth)?;
    match reader.unusable {
        Some(error) => Err(error),
        None => Ok((value, reader.at)),
    }
}

/// Returns the offset after the value at `start`, judging by brackets and quotes alone. Returns `None` if the value
/// does not end.
pub(crate) fn skip(text: &[u8], start: usize) -> Option<usize> {
    let mut open = 0_usize;
    let mut quoted = false;
    let mut at = start;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => open += 1,
            b'}' | b']' if !quoted => open = open.saturating_sub(1),
            _ => continue,
        }
        if open == 0 && !quoted {
            return Some(at);
        }
    }
    None
}

/// Returns the offset of the next byte that is not JSON white space.
pub(crate) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    budget: &'a mut Budget,
    /// The first number that does not fit. Reading continues, because a syntax error takes precedence.
    unusable: Option<Error>,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        self.at = skip_space(self.text, self.at);
        self.budget.value(0).map_err(|reason| self.error(Kind::Limit, reason))?;
        match self.peek() {
            Some(b'{' | b'[') if depth == 0 => Err(self.error(Kind::Limit, "maps and lists are nested too deeply")),
            Some(b'{') => self.map(depth - 1).map(Value::Object),
            Some(b'[') => self.list(depth - 1).map(Value::Array),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Value::Bool(true)),
            Some(b'f') => self.word(b"false", Value::Bool(false)),
            Some(b'n') => self.word(b"null", Value::Null),
            _ => Err(self.unexpected("invalid JSON: expected a value")),
        }
    }

    fn map(&mut self, depth: usize) -> Result<Map<String, Value>, Error> {
        let mut map = Map::new();
        self.at += 1;
        if self.next_is(b'}') {
            return Ok(map);
        }
        self.budget.map().map_err(|reason| self.error(Kind::Limit, reason))?;
        loop {
            self.at = skip_space(self.text, self.at);
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("invalid JSON: expected a key in double quotes"));
            }
            let key = self.string()?;
            if !self.next_is(b':') {
                return Err(self.unexpected("invalid JSON: expected ':' behind a key"));
            }
            let value = self.value(depth)?;
            map.insert(key, value);
            if self.next_is(b'}') {
                return Ok(map);
            }
            if !self.next_is(b',') {
                return Err(self.unexpected("invalid JSON: expected ',' or '}' behind a value"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value>, Error> {
        let mut list = Vec::new();
        self.at += 1;
        if self.next_is(b']') {
            return Ok(list);
        }
        loop {
            list.push(self.value(depth)?);
            if self.next_is(b']') {
                return Ok(list);
            }
            if !self.next_is(b',') {
                return Err(self.unexpected("invalid JSON: expected ',' or ']' behind an item"));
            }
        }
    }

    fn number(&mut self) -> Result<Value, Error> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let digits = self.text.get(start..self.at).and_then(|digits| std::str::from_utf8(digits).ok());
        Ok(digits.and_then(number::from_json).unwrap_or_else(|| {
            let error = Error { kind: Kind::Unusable, at: start, reason: "a number is out of range".into() };
            self.unusable.get_or_insert(error);
            Value::Null
        }))
    }

    fn digits(&mut self) -> Result<(), Error> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected("invalid JSON: expected a digit"));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value, Error> {
        let there = self.rest();
        if there.starts_with(word) {
            self.at += word.len();
            return Ok(value);
        }
        if word.starts_with(there) {
            self.at = self.text.len();
        }
        Err(self.unexpected("invalid JSON: expected a value"))
    }

    /// Skips white space, and then this byte if it comes next.
    fn next_is(&mut self, byte: u8) -> bool {
        self.at = skip_space(self.text, self.at);
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn unexpected(&self, reason: impl Into<Reason>) -> Error {
        match self.peek() {
            Some(_) => self.error(Kind::Syntax, reason),
            None => self.error(Kind::End, "invalid JSON: the text ends inside a value"),
        }
    }

    fn error(&self, kind: Kind, reason: impl Into<Reason>) -> Error {
        Error { kind, at: self.at, reason: reason.into() }
    }
}
