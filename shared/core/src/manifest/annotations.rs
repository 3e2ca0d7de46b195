//! What annotations of a manifest ask for: how its object is handled, and what may be done to it when an update is invalid
//! or its deletion hangs.

use std::time::Duration;

use kube_core::params::PropagationPolicy;
use serde_json::{Map, Value};

use crate::names;

/// How an object is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// It is held equal to its manifest.
    #[default]
    Reconcile,
    /// It is created when it is absent, with our marks, and whoever wants to may change it.
    EnsureExists,
    /// It is created when it is absent, exactly as written, and nobody looks after it.
    CreateOnly,
}

impl Handling {
    /// What the annotations of a manifest say; `None`: the object is taken out of our hands. An unknown mode counts as none.
    pub fn of<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let is_ignored = annotation(names::ANNOTATION_IGNORE).is_some_and(names::is_truthy);
        match annotation(names::ANNOTATION_MODE) {
            Some("Ignore") => None,
            _ if is_ignored => Some(Self::CreateOnly),
            Some("EnsureExists") => Some(Self::EnsureExists),
            _ => Some(Self::Reconcile),
        }
    }

    /// Whether edits by others are refused or put right.
    pub fn is_held(self) -> bool {
        self == Self::Reconcile
    }
}

/// Reads an annotation; the error says what is wrong with it.
type Check = fn(&str) -> Result<(), String>;

/// Annotations whose values can be wrong.
const CHECKS: [(&str, Check); 9] = [
    (names::ANNOTATION_MODE, |value| match value {
        "Ignore" | "EnsureExists" | "Reconcile" => Ok(()),
        other => Err(format!("{other:?} is none of Reconcile, EnsureExists and Ignore; Reconcile counts")),
    }),
    (names::ANNOTATION_PROPAGATION, |value| propagation(value).map(drop)),
    (names::ANNOTATION_FINALIZE_AFTER, |value| period(value).map(drop)),
    (names::ANNOTATION_IGNORE, truth),
    (names::ANNOTATION_KEEP_OBJECT, truth),
    (names::ANNOTATION_DELETE_ON_INVALID, truth),
    (names::ANNOTATION_PRESERVE_REPLICAS, exact),
    (names::ANNOTATION_PRESERVE_RESOURCES, exact),
    ("resources.gardener.cloud/skip-health-check", exact),
];

/// A truth value as Go reads it.
fn truth(value: &str) -> Result<(), String> {
    yes_or_no(names::is_truth(value))
}

/// One of two words.
fn exact(value: &str) -> Result<(), String> {
    yes_or_no(["true", "false"].contains(&value))
}

fn yes_or_no(is_either: bool) -> Result<(), String> {
    if is_either { Ok(()) } else { Err("it is none of true and false; false counts".to_owned()) }
}

/// What is wrong with the annotations of a manifest, one text each.
pub fn remarks(manifest: &Map<String, Value>) -> Vec<String> {
    let annotations = manifest.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let wrong = CHECKS.iter().filter_map(|(name, check)| {
        let why = check(annotations?.get(name)?.as_str()?).err()?;
        Some(format!("annotation {name}: {why}"))
    });
    wrong.collect()
}

/// How dependents are treated by the deletion that an invalid update leads to.
///
/// # Errors
/// The value is none of the three that there are.
pub fn propagation(value: &str) -> Result<PropagationPolicy, String> {
    match value {
        "Background" => Ok(PropagationPolicy::Background),
        "Foreground" => Ok(PropagationPolicy::Foreground),
        "Orphan" => Ok(PropagationPolicy::Orphan),
        other => Err(format!("{other:?} is invalid, supported values: [Background Foreground Orphan]")),
    }
}

/// Units of a Go duration, in nanoseconds.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// A period as Go writes durations: `1h30m`, `90s`, `1.5h`, `0`.
///
/// # Errors
/// It is no such text, or negative.
pub fn period(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.starts_with('-') {
        return Err(format!("time: duration {text:?} is negative"));
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        // Digits and at most one dot, with a digit on one side of it.
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (name, tail) = tail.split_at(end);
        if name.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let unit = UNITS.iter().find(|(unit, _)| *unit == name);
        let (_, unit) = unit.ok_or_else(|| format!("time: unknown unit {name:?} in duration {text:?}"))?;
        nanoseconds += number * unit;
        rest = tail;
    }
    // The longest that Go knows is 292 years.
    if nanoseconds >= 9.2e18 { Err(invalid()) } else { Ok(Duration::from_secs_f64(nanoseconds / 1e9)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_say_how_an_object_is_handled() {
        let (mode, ignore) = (names::ANNOTATION_MODE, names::ANNOTATION_IGNORE);
        for (entries, expected) in [
            (&[][..], Some(Handling::Reconcile)),
            (&[(mode, "Reconcile")], Some(Handling::Reconcile)),
            (&[(mode, "EnsureExists")], Some(Handling::EnsureExists)),
            (&[(mode, "ignore")], Some(Handling::Reconcile)),
            (&[(mode, "Ignore")], None),
            (&[(ignore, "t")], Some(Handling::CreateOnly)),
            (&[(ignore, "yes")], Some(Handling::Reconcile)),
            (&[(ignore, "1"), (mode, "EnsureExists")], Some(Handling::CreateOnly)),
            (&[(ignore, "1"), (mode, "Ignore")], None),
        ] {
            let annotation = |name: &str| entries.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            assert_eq!(Handling::of(annotation), expected, "{entries:?}");
        }
    }

    #[test]
    fn wrong_values_are_named() {
        let remarks_of =
            |annotations: Value| remarks(json!({"metadata": {"annotations": annotations}}).as_object().unwrap());
        let good = json!({
            names::ANNOTATION_MODE: "EnsureExists", names::ANNOTATION_PROPAGATION: "Orphan",
            names::ANNOTATION_FINALIZE_AFTER: "1h", "other": "1d",
        });
        assert_eq!(remarks_of(good), Vec::<String>::new());
        assert_eq!(remarks_of(Value::Null), Vec::<String>::new());
        let bad = json!({
            names::ANNOTATION_MODE: "Sometimes", names::ANNOTATION_PROPAGATION: "orphan",
            names::ANNOTATION_FINALIZE_AFTER: "1d",
        });
        assert_eq!(
            remarks_of(bad),
            [
                "annotation resources.gardener.cloud/mode: \"Sometimes\" is none of Reconcile, EnsureExists and Ignore; Reconcile counts",
                "annotation resources.gardener.cloud/deletion-propagation-on-invalid-update: \"orphan\" is invalid, supported values: [Background Foreground Orphan]",
                "annotation resources.gardener.cloud/finalize-deletion-after: time: unknown unit \"d\" in duration \"1d\"",
            ]
        );
    }

    #[test]
    fn periods_are_those_of_go() {
        for (text, milliseconds) in [
            ("0", 0),
            ("+0", 0),
            ("0s", 0),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1000),
            ("+1m1ms", 60_001),
            ("1000us", 1),
            ("1000µs", 1),
        ] {
            assert_eq!(period(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for (text, why) in [
            ("", "time: invalid duration \"\""),
            ("5", "time: missing unit in duration \"5\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("s", "time: invalid duration \"s\""),
            (".s", "time: invalid duration \".s\""),
            ("1.2.3s", "time: invalid duration \"1.2.3s\""),
            ("1 h", "time: unknown unit \" h\" in duration \"1 h\""),
            ("-1s", "time: duration \"-1s\" is negative"),
            ("9999999h", "time: invalid duration \"9999999h\""),
        ] {
            assert_eq!(period(text), Err(why.to_owned()), "{text}");
        }
    }
}
