//! The meaning of a YAML scalar. Follows `resolve.go` of `go.yaml.in/yaml/v2`, rule by rule.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Go's `base64.StdEncoding`: requires padding, and ignores the unused bits of the last character.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

/// The tag of a node, as far as it changes the meaning of a scalar. Tags of maps and lists have no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    None,
    Str,
    Bool,
    Int,
    Float,
    Null,
    Timestamp,
    Binary,
    Merge,
    /// `!` alone. The scalar is text, but `<<` still counts as untagged.
    NonSpecific,
    /// Any other tag. The scalar is text.
    Other,
}

impl Tag {
    /// Parses the full form of a tag.
    pub(crate) fn of(full: &str) -> Self {
        match full.strip_prefix("tag:yaml.org,2002:") {
            Some("str") => Self::Str,
            Some("bool") => Self::Bool,
            Some("int") => Self::Int,
            Some("float") => Self::Float,
            Some("null") => Self::Null,
            Some("timestamp") => Self::Timestamp,
            Some("binary") => Self::Binary,
            Some("merge") => Self::Merge,
            _ if full == "!" => Self::NonSpecific,
            _ => Self::Other,
        }
    }
}

/// The meaning of a scalar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Used only above `i64::MAX`.
    Uint(u64),
    Float(f64),
    Str(Cow<'a, str>),
}

/// Resolves a scalar. `plain` means neither quoted nor a block. The error says why the tag does not fit.
pub(crate) fn resolve(tag: Tag, plain: bool, text: &str) -> Result<Scalar<'_>, &'static str> {
    let as_text = Scalar::Str(Cow::Borrowed(text));
    let meaning = match tag {
        Tag::None if !plain => return Ok(as_text),
        Tag::Str | Tag::Merge | Tag::NonSpecific | Tag::Other => return Ok(as_text),
        Tag::Binary => return binary(text).map(Scalar::Str),
        Tag::None | Tag::Bool | Tag::Int | Tag::Float | Tag::Null | Tag::Timestamp => implicit(text),
    };
    match (tag, meaning) {
        (Tag::None, meaning) => Ok(meaning.unwrap_or(as_text)),
        (Tag::Bool, Some(meaning @ Scalar::Bool(_)))
        | (Tag::Int, Some(meaning @ (Scalar::Int(_) | Scalar::Uint(_))))
        | (Tag::Float, Some(meaning @ Scalar::Float(_)))
        | (Tag::Null, Some(meaning @ Scalar::Null)) => Ok(meaning),
        #[expect(clippy::cast_precision_loss, reason = "what a float tag asks for")]
        (Tag::Float, Some(Scalar::Int(integer))) => Ok(Scalar::Float(integer as f64)),
        (Tag::Timestamp, None) if is_timestamp(text) => Ok(as_text),
        _ => Err("the value does not fit its tag"),
    }
}

/// Returns what a plain scalar means other than text; `None` for text. Timestamps stay text, as in Go.
fn implicit(text: &str) -> Option<Scalar<'_>> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(Scalar::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Scalar::Bool(false))
        }
        "" | "~" | "null" | "Null" | "NULL" => Some(Scalar::Null),
        ".nan" | ".NaN" | ".NAN" => Some(Scalar::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(Scalar::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => Some(Scalar::Float(f64::NEG_INFINITY)),
        _ => match text.as_bytes().first()? {
            b'.' => underscores_between_digits(text).then(|| float(&text.replace('_', ""))).flatten(),
            b'+' | b'-' | b'0'..=b'9' => number(&text.replace('_', "")),
            _ => None,
        },
    }
}

/// Reads a number. `digits` contains no underscores.
fn number<'a>(digits: &str) -> Option<Scalar<'a>> {
    let (negative, unsigned) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    if let Some(magnitude) = magnitude(unsigned) {
        if let Some(integer) = signed(negative, magnitude) {
            return Some(Scalar::Int(integer));
        }
        // Go accepts an explicit plus sign only on signed integers.
        if unsigned.len() == digits.len() {
            return Some(Scalar::Uint(magnitude));
        }
    }
    float(digits).or_else(|| odd_binary(digits))
}

/// Parses an unsigned number like Go's `strconv.ParseUint(_, 0, 64)`: with the prefixes `0b`, `0o` and `0x`, and octal
/// after a leading `0`.
fn magnitude(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'b' | b'B', ..] => (text.get(2..)?, 2),
        [b'0', b'o' | b'O', ..] => (text.get(2..)?, 8),
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    // Rust would accept a second sign.
    if digits.starts_with(['+', '-']) { None } else { u64::from_str_radix(digits, radix).ok() }
}

fn signed(negative: bool, magnitude: u64) -> Option<i64> {
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Go's last resort, which also accepts a sign after `0b`.
fn odd_binary<'a>(digits: &str) -> Option<Scalar<'a>> {
    let digits = digits.strip_prefix("0b")?;
    i64::from_str_radix(digits, 2).ok().map(Scalar::Int)
}

/// Parses a decimal float, `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, if an `f64` can represent it.
fn float<'a>(text: &str) -> Option<Scalar<'a>> {
    let decimal = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E'));
    // For texts of these characters, Rust's grammar and the expression agree.
    let float: f64 = if decimal { text.parse().ok()? } else { return None };
    float.is_finite().then_some(Scalar::Float(float))
}

/// Go accepts underscores in floats only between two digits.
fn underscores_between_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    (0..bytes.len())
        .filter(|&i| bytes.get(i) == Some(&b'_'))
        .all(|i| digit(i.checked_sub(1)) && digit(i.checked_add(1)))
}

/// Whether a text starts like a timestamp, `2001-`. The rest of the date is not checked.
fn is_timestamp(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, c, d, b'-', _, ..] if [a, b, c, d].into_iter().all(u8::is_ascii_digit))
}

fn binary(text: &str) -> Result<Cow<'_, str>, &'static str> {
    let encoded: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let bytes = BASE64.decode(encoded).map_err(|_| "a !!binary value is not base64")?;
    Ok(Cow::Owned(replacing_invalid(&bytes)))
}

/// Decodes UTF-8 like Go: each byte that belongs to no character becomes U+FFFD.
pub(crate) fn replacing_invalid(mut bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    loop {
        match std::str::from_utf8(bytes) {
            Ok(rest) => {
                text.push_str(rest);
                return text;
            }
            Err(error) => {
                let (valid, rest) = bytes.split_at(error.valid_up_to());
                text.extend(std::str::from_utf8(valid));
                text.push(char::REPLACEMENT_CHARACTER);
                bytes = rest.get(1..).unwrap_or_default();
            }
        }
    }
}
