//! Durations as Go's `time.ParseDuration` reads them: `90s`, `1h30m`, `1.5h`, `-3ms`, `0`.

use std::time::Duration;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// `None` if it cannot be read. Negative ones count as zero.
pub fn parse(text: &str) -> Option<Duration> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = unsigned;
    let mut sum: u64 = 0;
    while !rest.is_empty() || unsigned.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(nanoseconds(number, *factor)?)?;
        rest = tail;
    }
    let is_representable = i64::try_from(sum).is_ok();
    is_representable.then(|| if text.starts_with('-') { Duration::ZERO } else { Duration::from_nanos(sum) })
}

/// A decimal number of units.
fn nanoseconds(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut sum = whole.checked_mul(factor)?;
    let mut unit = factor;
    for digit in fraction.bytes() {
        unit /= 10;
        sum = sum.checked_add(u64::from(digit - b'0') * unit)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, milliseconds) in [
            ("0", 0),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1000),
            ("100ms", 100),
            ("2500us", 2),
            ("2500µs", 2),
            ("+3s", 3000),
            ("-3s", 0),
            ("1m1m", 120_000),
        ] {
            assert_eq!(parse(text).map(|duration| duration.as_millis()), Some(milliseconds), "{text}");
        }
        for text in ["", "-", "5", "1 h", "1d", "h", ".s", "1..5s", "1h-1m", "soon", "99999999999h", "1h 30m", "١s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
