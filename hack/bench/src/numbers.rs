//! The few statistics that the table needs.
use std::time::Duration;

/// The smallest value that at least so many percent do not exceed; zero of none.
pub(super) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// The middle one.
pub(super) fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// Milliseconds.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A count as a figure.
pub(super) fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (case, values, percent, expected) in [
            ("p50", hundred.as_slice(), 50, 50.0),
            ("p99", &hundred, 99, 99.0),
            ("p100", &hundred, 100, 100.0),
            ("one", &[3.0], 99, 3.0),
            ("odd", &[5.0, 1.0, 3.0], 50, 3.0),
            ("none", &[], 50, 0.0),
        ] {
            assert!((percentile(values, percent) - expected).abs() < f64::EPSILON, "{case}");
        }
    }
}
