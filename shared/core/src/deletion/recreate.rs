//! Updates that the server refuses as invalid (422), because a field is immutable. If the manifest asks for it, the
//! controller deletes the object and creates it again, as the original does.

use kube_core::{Status, params::PropagationPolicy, response::StatusCause};

use crate::{api::Texts, key::ObjectKey, manifest::annotations, names};

/// What to do about an invalid update.
#[derive(Clone, Debug, PartialEq)]
pub enum RecreatePolicy {
    /// Nothing.
    No,
    /// Delete the object with this propagation policy, and create it again.
    Yes(Option<PropagationPolicy>),
    /// Nothing, because the propagation policy in the manifest is invalid; the text says so.
    Unclear(String),
}

impl RecreatePolicy {
    /// Decides about an object with these annotations in its manifest, whose update was refused for these causes.
    /// Annotations of the live object do not count, since anybody can set them. Immutable ConfigMaps and Secrets need
    /// no annotation.
    pub fn of(object: &ObjectKey, annotations: &Texts, causes: &[StatusCause]) -> Self {
        let is_requested = annotations.get(names::ANNOTATION_DELETE_ON_INVALID).is_some_and(names::is_truthy);
        let is_immutable = is_config(object) && causes.iter().any(is_about_immutable);
        if !is_requested && !is_immutable {
            return Self::No;
        }
        match annotations.get(names::ANNOTATION_PROPAGATION).map(annotations::propagation) {
            None => Self::Yes(None),
            Some(Ok(policy)) => Self::Yes(Some(policy)),
            Some(Err(why)) => Self::Unclear(format!("invalid deletion propagation policy on object {object}: {why}")),
        }
    }
}

/// Whether the controller may be able to create the object once the live one is gone. `refusal` is the answer to a dry
/// run of the creation beside the live object. If this returns false, the manifest or a policy is the obstacle, and the
/// live object must not be deleted.
pub fn may_be_created(refusal: &Status) -> bool {
    let causes = refusal.details.as_ref().map_or(&[][..], |details| &details.causes);
    match refusal.code {
        // 409: the object exists. 400: a webhook does not support dry runs, so the result is unknown.
        409 | 400 => true,
        // The live object counts towards the quota, too.
        403 => refusal.message.contains("exceeded quota"),
        // The live Service still holds the ports and addresses of the new one.
        422 => !causes.is_empty() && causes.iter().all(|cause| cause.message.contains("already allocated")),
        _ => false,
    }
}

fn is_config(object: &ObjectKey) -> bool {
    object.group().is_empty() && matches!(object.kind(), "ConfigMap" | "Secret")
}

/// The server has no separate code for this, so the message decides.
fn is_about_immutable(cause: &StatusCause) -> bool {
    cause.reason == "FieldValueForbidden" && cause.message.contains("field is immutable when `immutable` is set")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube_core::response::StatusDetails;

    use super::*;

    #[test]
    fn only_what_is_asked_for_or_immutable_is_replaced() {
        let cause = |reason: &str, message: &str| StatusCause {
            reason: reason.to_owned(),
            message: message.to_owned(),
            field: "data".to_owned(),
        };
        let immutable = cause("FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set");
        let other = cause("FieldValueInvalid", "Invalid value: field is immutable");
        let (annotation, propagation) = (names::ANNOTATION_DELETE_ON_INVALID, names::ANNOTATION_PROPAGATION);
        for (kind, group, annotations, cause, expected) in [
            ("ConfigMap", "", &[][..], &immutable, RecreatePolicy::Yes(None)),
            ("Secret", "", &[], &immutable, RecreatePolicy::Yes(None)),
            ("Secret", "", &[], &other, RecreatePolicy::No),
            ("Secret", "example.com", &[], &immutable, RecreatePolicy::No),
            ("Service", "", &[], &other, RecreatePolicy::No),
            ("Service", "", &[(annotation, "true")], &other, RecreatePolicy::Yes(None)),
            ("Service", "", &[(annotation, "false")], &other, RecreatePolicy::No),
            ("Service", "", &[(propagation, "Orphan")], &other, RecreatePolicy::No),
            (
                "Service",
                "",
                &[(annotation, "1"), (propagation, "Orphan")],
                &other,
                RecreatePolicy::Yes(Some(PropagationPolicy::Orphan)),
            ),
            (
                "Service",
                "",
                &[(annotation, "1"), (propagation, "later")],
                &other,
                RecreatePolicy::Unclear(
                    "invalid deletion propagation policy on object Service d/n: \"later\" is invalid, supported values: [Background Foreground Orphan]".to_owned(),
                ),
            ),
        ] {
            let object = ObjectKey::new(group, kind, "d", "n");
            let annotations = annotations.iter().map(|(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned()));
            let annotations: BTreeMap<String, String> = annotations.collect();
            let found = RecreatePolicy::of(&object, &annotations.into(), std::slice::from_ref(cause));
            if group.is_empty() {
                assert_eq!(found, expected, "{kind} {cause:?}");
            } else {
                assert_eq!(found, RecreatePolicy::No);
            }
        }
    }
    #[test]
    fn nothing_is_deleted_for_what_cannot_be_created() {
        for (code, message, cause, expected) in [
            (409, "services \"x\" already exists", "", true),
            (400, "admission webhook does not support dry run", "", true),
            (403, "exceeded quota: q", "", true),
            (403, "a policy says no", "", false),
            (422, "", "Invalid value: 30080: provided port is already allocated", true),
            (422, "", "Invalid value: -1: must be greater than or equal to 0", false),
            (422, "a policy says no", "", false),
            (500, "", "", false),
        ] {
            let cause = StatusCause { message: cause.to_owned(), reason: String::new(), field: String::new() };
            let causes = if cause.message.is_empty() { vec![] } else { vec![cause] };
            let details = StatusDetails {
                causes,
                name: String::new(),
                group: String::new(),
                kind: String::new(),
                uid: String::new(),
                retry_after_seconds: 0,
            };
            let status = Status { code, message: message.to_owned(), details: Some(details), ..Status::default() };
            assert_eq!(may_be_created(&status), expected, "{code} {message}");
        }
    }
}
