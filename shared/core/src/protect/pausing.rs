//! Break-glass at the door: edits of paused objects, pauses of ManagedResources that are managed themselves, and the command
//! that a refused user may paste.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Offence, Request, Verdict, message};
use crate::{
    fields::Path,
    key::{NamespacedName, ObjectKey},
    names,
    ownership::{Owner, Paused},
    pause,
};

/// How long a pause is that a message proposes, where that long is allowed.
const PROPOSED: Duration = Duration::from_secs(3600);

/// The change passes: until when, and what becomes of it.
pub(super) fn pass(
    request: &Request<'_>,
    object: &ObjectKey,
    owner: &Owner,
    offence: &Offence,
    paused: Paused<'_>,
) -> Verdict {
    let end = match paused {
        Paused::Until(entry) => pause::time(entry.until()),
        Paused::Ignored => format!("annotation {} is taken off", names::ANNOTATION_IGNORE),
    };
    let fate = match offence {
        Offence::Change(_) => "the change will be undone then",
        Offence::Deletion => "it will be created again then",
        Offence::Creation => "it will be made as declared then",
    };
    let subject = message::subject(request, object, owner);
    let mut audit = message::audit(owner, offence);
    audit.insert("decision".to_owned(), "paused".to_owned());
    Verdict::Allow { warnings: vec![format!("{subject} and is paused until {end}: {fate}")], audit }
}

/// `pause it until … with: kubectl patch …`.
pub(super) fn proposal(object: &ObjectKey, owner: &Owner, now: Timestamp, longest: Duration) -> String {
    let period = SignedDuration::try_from(PROPOSED.min(longest)).unwrap_or_default();
    let until = pause::time(now.checked_add(period).unwrap_or(now));
    let entry = json!({
        "group": object.group, "kind": object.kind, "namespace": object.namespace, "name": object.name,
        "until": until, "reason": "WHY",
    });
    let (kind, patch) = if owner.pauses.active(now).is_empty() {
        ("merge", json!({"spec": {"protection": {"pauses": [entry]}}}))
    } else {
        // Beside those that last.
        ("json", json!([{"op": "add", "path": "/spec/protection/pauses/-", "value": entry}]))
    };
    // Names may have quotes in them.
    let patch = patch.to_string().replace('\'', r"'\''");
    let NamespacedName { namespace, name } = &owner.key;
    format!("pause it until {until} with: kubectl patch mr -n {namespace} {name} --type={kind} -p '{patch}'")
}

/// Whether a field is for the webhook of ManagedResources to judge, also where another ManagedResource declares this one:
/// whoever has the verb `override` may pause it.
pub(super) fn is_judged_elsewhere(path: &Path, request: &Request<'_>) -> bool {
    request.group == names::GROUP
        && request.resource == names::PLURAL
        && (path.is_within(&["spec", "protection", "pauses"])
            || path.matches(&["metadata", "annotations", names::ANNOTATION_IGNORE]))
}
