//! Numbers in the form that Go's JSON writer gives them: `i64` if the digits fit, otherwise `f64`.

use serde_json::{Number, Value};

/// From this magnitude on, Go writes floats with an exponent. They no longer read as integers.
const EXPONENT_FROM: f64 = 1e21;

/// Converts a float to a JSON value. Whole numbers become integers (`1e3` is 1000, `-0.0` is 0). Returns `None` for
/// infinities and NaN.
pub(crate) fn from_f64(float: f64) -> Option<Value> {
    // The shortest digits decide, not the exact value: Go writes the float 2^62 as 4611686018427388000.
    if float.abs() < EXPONENT_FROM
        && let Ok(integer) = float.to_string().parse::<i64>()
    {
        return Some(integer.into());
    }
    Number::from_f64(float).map(Value::Number)
}

/// Converts the text of a JSON number. Returns `None` if it is too large for an `f64`.
pub(crate) fn from_json(digits: &str) -> Option<Value> {
    match digits.parse::<i64>() {
        Ok(integer) => Some(integer.into()),
        Err(_) => digits.parse().ok().and_then(from_f64),
    }
}

/// Formats a float as a map key: the output of Go's `FormatFloat(f, 'g', -1, 32)`, with YAML's names for infinities and
/// NaN.
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
