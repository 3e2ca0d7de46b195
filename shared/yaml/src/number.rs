//! Numbers as they leave Go's JSON writer: `i64` where the digits fit, `f64` otherwise.

use serde_json::{Number, Value};

/// From this magnitude on Go writes a float with an exponent, which no longer reads as an integer.
const EXPONENT_FROM: f64 = 1e21;

/// A float as JSON value; whole numbers become integers (`1e3` is 1000, `-0.0` is 0). None for infinities and NaN.
pub(crate) fn from_f64(float: f64) -> Option<Value> {
    // The shortest digits decide, not the exact value: Go writes 2^62 as a float as 4611686018427388000.
    if float.abs() < EXPONENT_FROM
        && let Ok(integer) = float.to_string().parse::<i64>()
    {
        return Some(integer.into());
    }
    Number::from_f64(float).map(Value::Number)
}

/// The text of a JSON number as value. None if it is too large for an `f64`.
pub(crate) fn from_json(digits: &str) -> Option<Value> {
    match digits.parse::<i64>() {
        Ok(integer) => Some(integer.into()),
        Err(_) => digits.parse().ok().and_then(from_f64),
    }
}

/// A float as map key: what Go's `FormatFloat(f, 'g', -1, 32)` prints, with YAML's names for what is not finite.
#[expect(clippy::cast_possible_truncation, reason = "Go formats such keys with the digits of a float32")]
pub(crate) fn key_from_f64(float: f64) -> String {
    let float = float as f32;
    if float.is_nan() {
        return ".nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{float:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent @ (..-4 | 6..)) => format!("{digits}e{exponent:+03}"),
        _ => float.to_string(),
    }
}
