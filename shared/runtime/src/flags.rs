//! Values of flags, read alike by both programs.

use std::time::Duration;

use clap::ValueEnum;
use holdfast_core::{
    api::{Mode, Repair},
    duration,
    validation::labels::is_label_text,
};
use jiff::SignedDuration;

/// [`Mode`] as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Edits are refused.
    Deny,
    /// Edits are undone before they are stored.
    Revert,
    /// Edits pass with a warning.
    Warn,
    /// Edits pass.
    Off,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Deny => Self::Deny,
            ModeArg::Revert => Self::Revert,
            ModeArg::Warn => Self::Warn,
            ModeArg::Off => Self::Off,
        }
    }
}

/// [`Repair`] as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RepairArg {
    /// At once, from a watch.
    Watch,
    /// At the next sync.
    Resync,
}

impl From<RepairArg> for Repair {
    fn from(repair: RepairArg) -> Self {
        match repair {
            RepairArg::Watch => Self::Watch,
            RepairArg::Resync => Self::Resync,
        }
    }
}

/// A duration of any sign, as Go writes it (`1h30m`, `90s`). Flags have always taken some further forms, too: `1 hour`, `PT1H`.
///
/// # Errors
/// Why it is none.
pub fn signed_duration(text: &str) -> Result<SignedDuration, String> {
    if let Ok(duration) = text.parse() {
        return Ok(duration);
    }
    SignedDuration::try_from(duration::parse(text)?).map_err(|error| error.to_string())
}

/// As [`signed_duration`], from zero.
///
/// # Errors
/// Why it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    Duration::try_from(signed_duration(text)?).map_err(|_| "must not be negative".to_owned())
}

/// As [`signed_duration`], above zero.
///
/// # Errors
/// Why it is none.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be above zero".to_owned()),
        duration => Ok(duration),
    }
}

/// What Kubernetes takes as the value of a label, and not an empty one.
///
/// # Errors
/// Why it is none.
pub fn label_value(text: &str) -> Result<String, String> {
    if is_label_text(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} cannot be the value of a label (1 to 63 letters, digits, and -_. between them)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused() {
        for (text, milliseconds) in [
            ("1h30m", 5_400_000),
            ("100ms", 100),
            ("2401ms", 2401),
            ("1.5h", 5_400_000),
            ("+1m1ms", 60_001),
            (".5s", 500),
            ("30m1h", 5_400_000),
            ("1 hour", 3_600_000),
            ("PT1H", 3_600_000),
        ] {
            assert_eq!(positive_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "5", "-1s", "0s", "0", "1 fortnight"] {
            assert!(positive_duration(bad).is_err(), "{bad}");
        }
        assert_eq!((duration("0"), duration("0s")), (Ok(Duration::ZERO), Ok(Duration::ZERO)));
        assert_eq!(duration("-1s"), Err("must not be negative".to_owned()));
        assert_eq!(duration("5"), Err("time: missing unit in duration \"5\"".to_owned()));
        assert_eq!(signed_duration("-10s"), Ok(SignedDuration::from_secs(-10)));
    }
}
