//! JSON strings.

use super::{Error, Kind, Reader};
use crate::scalar::replacing_invalid;

impl Reader<'_> {
    /// Reads a string, starting at its opening quote.
    pub(crate) fn string(&mut self) -> Result<String, Error> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    let character = self.escape()?;
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
                Some(0x20..) => bytes.extend(self.peek()),
                _ => return Err(self.unexpected("invalid JSON: a control character in a string")),
            }
            self.at += 1;
        }
        self.at += 1;
        self.budget.value(bytes.len()).map_err(|reason| self.error(Kind::Limit, reason))?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| replacing_invalid(error.as_bytes())))
    }

    /// Reads an escape after its backslash.
    fn escape(&mut self) -> Result<char, Error> {
        let character = match self.peek() {
            Some(b'u') => return self.unicode(),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            _ => return Err(self.unexpected("invalid JSON: an unknown escape in a string")),
        };
        self.at += 1;
        Ok(character)
    }

    /// Reads `uXXXX`, or two of them that form one character. A lone surrogate becomes U+FFFD.
    fn unicode(&mut self) -> Result<char, Error> {
        let first = self.hex()?;
        if !(0xD800..0xDC00).contains(&first) || !self.rest().starts_with(b"\\u") {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        self.at += 1;
        let second = self.hex()?;
        if (0xDC00..0xE000).contains(&second) {
            let pair = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return Ok(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.at = before;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    /// Reads `uXXXX`.
    fn hex(&mut self) -> Result<u32, Error> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return Err(self.unexpected("invalid JSON: expected four hexadecimal digits in an escape"));
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}
