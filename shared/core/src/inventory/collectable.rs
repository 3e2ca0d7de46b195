//! Objects that a garbage collector deletes, by the original's rules.
//!
//! Running pods may still mount a ConfigMap or Secret that is no longer declared. If there is a collector, only it
//! deletes objects with its label, and only once nothing refers to them.

use crate::{api::ResourceReference, names};

/// Whether an undeclared object is left to the garbage collector, if there is one: a ConfigMap or Secret that was
/// applied with the collector's label.
pub fn is_collectable(reference: &ResourceReference) -> bool {
    is_collected_kind(reference) && is_labelled(reference.labels.get(names::LABEL_COLLECTABLE))
}

/// Whether the collector handles objects of this kind.
pub fn is_collected_kind(reference: &ResourceReference) -> bool {
    reference.api_version == "v1" && matches!(reference.kind.as_str(), "ConfigMap" | "Secret")
}

/// Whether this value of [`names::LABEL_COLLECTABLE`] assigns an object to the collector.
pub fn is_labelled(value: Option<&str>) -> bool {
    value.is_some_and(names::is_truthy)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn kind_and_label_decide() {
        for (api_version, kind, value, expected) in [
            ("v1", "ConfigMap", Some("true"), true),
            ("v1", "Secret", Some("true"), true),
            ("v1", "Secret", Some("1"), true),
            ("v1", "Secret", Some("T"), true),
            ("v1", "Secret", Some("false"), false),
            ("v1", "Secret", Some("yes"), false),
            ("v1", "Secret", Some(""), false),
            ("v1", "Secret", None, false),
            ("v1", "Service", Some("true"), false),
            ("example.com/v1", "Secret", Some("true"), false),
            ("apps/v1", "Deployment", Some("true"), false),
        ] {
            let label = value.map(|value| (names::LABEL_COLLECTABLE.to_owned(), value.to_owned()));
            let labels: BTreeMap<String, String> = label.into_iter().collect();
            let reference = ResourceReference {
                api_version: api_version.into(),
                kind: kind.into(),
                labels: labels.into(),
                ..Default::default()
            };
            assert_eq!(is_collectable(&reference), expected, "{api_version} {kind} {value:?}");
        }
    }
}
