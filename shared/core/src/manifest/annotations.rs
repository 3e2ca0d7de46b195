//! What the annotations of a manifest ask for: how Holdfast manages the object, and what it may do if an update is
//! invalid or a deletion hangs.

use kube_core::params::PropagationPolicy;
use serde_json::{Map, Value};

use crate::{duration, names};

/// How Holdfast manages an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManagementMode {
    /// Keep the object equal to its manifest.
    #[default]
    Reconcile,
    /// Create the object with our marks if it does not exist. Anyone may change it.
    EnsureExists,
    /// Create the object exactly as written if it does not exist, and then leave it alone.
    CreateOnly,
}

impl ManagementMode {
    /// Reads the annotations of a manifest. Returns `None` if Holdfast is to release the object. An unknown mode counts
    /// as absent.
    pub fn of<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let is_ignored = annotation(names::ANNOTATION_IGNORE).is_some_and(names::is_truthy);
        match annotation(names::ANNOTATION_MODE) {
            Some("Ignore") => None,
            _ if is_ignored => Some(Self::CreateOnly),
            Some("EnsureExists") => Some(Self::EnsureExists),
            _ => Some(Self::Reconcile),
        }
    }

    /// Whether Holdfast refuses or repairs foreign edits.
    pub fn is_managed(self) -> bool {
        self == Self::Reconcile
    }
}

/// Checks an annotation; the error says what is wrong.
type Check = fn(&str) -> Result<(), String>;

/// Annotations whose values can be wrong.
const CHECKS: [(&str, Check); 9] = [
    (names::ANNOTATION_MODE, |value| match value {
        "Ignore" | "EnsureExists" | "Reconcile" => Ok(()),
        other => Err(format!("{other:?} is none of Reconcile, EnsureExists and Ignore; Reconcile counts")),
    }),
    (names::ANNOTATION_PROPAGATION, |value| propagation(value).map(drop)),
    (names::ANNOTATION_FINALIZE_AFTER, |value| duration::parse(value).map(drop)),
    (names::ANNOTATION_IGNORE, truth),
    (names::ANNOTATION_KEEP_OBJECT, truth),
    (names::ANNOTATION_DELETE_ON_INVALID, truth),
    (names::ANNOTATION_PRESERVE_REPLICAS, exact),
    (names::ANNOTATION_PRESERVE_RESOURCES, exact),
    ("resources.gardener.cloud/skip-health-check", exact),
];

/// Accepts a boolean as Go parses it.
fn truth(value: &str) -> Result<(), String> {
    yes_or_no(names::is_truth(value))
}

/// Accepts only the words `true` and `false`.
fn exact(value: &str) -> Result<(), String> {
    yes_or_no(["true", "false"].contains(&value))
}

fn yes_or_no(is_either: bool) -> Result<(), String> {
    if is_either { Ok(()) } else { Err("it is none of true and false; false counts".to_owned()) }
}

/// Describes each wrong annotation of a manifest.
pub fn warnings(manifest: &Map<String, Value>) -> Vec<String> {
    let annotations = manifest.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let wrong = CHECKS.iter().filter_map(|(name, check)| {
        let why = check(annotations?.get(name)?.as_str()?).err()?;
        Some(format!("annotation {name}: {why}"))
    });
    wrong.collect()
}

/// Parses the propagation policy: what the deletion after an invalid update does with dependents.
///
/// # Errors
/// The value is none of the three policies.
pub fn propagation(value: &str) -> Result<PropagationPolicy, String> {
    match value {
        "Background" => Ok(PropagationPolicy::Background),
        "Foreground" => Ok(PropagationPolicy::Foreground),
        "Orphan" => Ok(PropagationPolicy::Orphan),
        other => Err(format!("{other:?} is invalid, supported values: [Background Foreground Orphan]")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_say_how_an_object_is_handled() {
        let (mode, ignore) = (names::ANNOTATION_MODE, names::ANNOTATION_IGNORE);
        for (entries, expected) in [
            (&[][..], Some(ManagementMode::Reconcile)),
            (&[(mode, "Reconcile")], Some(ManagementMode::Reconcile)),
            (&[(mode, "EnsureExists")], Some(ManagementMode::EnsureExists)),
            (&[(mode, "ignore")], Some(ManagementMode::Reconcile)),
            (&[(mode, "Ignore")], None),
            (&[(ignore, "t")], Some(ManagementMode::CreateOnly)),
            (&[(ignore, "yes")], Some(ManagementMode::Reconcile)),
            (&[(ignore, "1"), (mode, "EnsureExists")], Some(ManagementMode::CreateOnly)),
            (&[(ignore, "1"), (mode, "Ignore")], None),
        ] {
            let annotation = |name: &str| entries.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
            assert_eq!(ManagementMode::of(annotation), expected, "{entries:?}");
        }
    }

    #[test]
    fn wrong_values_are_named() {
        let warnings_of =
            |annotations: Value| warnings(json!({"metadata": {"annotations": annotations}}).as_object().unwrap());
        let good = json!({
            names::ANNOTATION_MODE: "EnsureExists", names::ANNOTATION_PROPAGATION: "Orphan",
            names::ANNOTATION_FINALIZE_AFTER: "1h", "other": "1d",
        });
        assert_eq!(warnings_of(good), Vec::<String>::new());
        assert_eq!(warnings_of(Value::Null), Vec::<String>::new());
        let bad = json!({
            names::ANNOTATION_MODE: "Sometimes", names::ANNOTATION_PROPAGATION: "orphan",
            names::ANNOTATION_FINALIZE_AFTER: "1d",
        });
        assert_eq!(
            warnings_of(bad),
            [
                "annotation resources.gardener.cloud/mode: \"Sometimes\" is none of Reconcile, EnsureExists and Ignore; Reconcile counts",
                "annotation resources.gardener.cloud/deletion-propagation-on-invalid-update: \"orphan\" is invalid, supported values: [Background Foreground Orphan]",
                "annotation resources.gardener.cloud/finalize-deletion-after: time: unknown unit \"d\" in duration \"1d\"",
            ]
        );
    }
}
