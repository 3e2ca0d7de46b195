//! Break-glass at the door: edits of paused objects, pauses of ManagedResources that are managed themselves, and the command
//! that a refused user may paste.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;

use super::{Case, Decision, Offence, Request, Verdict, message, mode, shell};
use crate::{field_set::Path, inventory::index::Paused, key::NamespacedName, names, pause};

/// How long a pause is that a message proposes, where that long is allowed.
const PROPOSED: Duration = Duration::from_secs(3600);

/// The change passes: until when, and what becomes of it.
pub(super) fn pass(case: &Case<'_>, paused: Paused<'_>) -> Verdict {
    let end = match paused {
        Paused::Until(entry) => pause::time(entry.until()),
        Paused::Ignored => format!("annotation {} is taken off", names::ANNOTATION_IGNORE),
    };
    let fate = match case.offence {
        Offence::Change(_) => "the change will be undone then",
        Offence::Deletion => "it will be created again then",
        Offence::Creation => "it will be made as declared then",
    };
    let warning = format!("{} and is paused until {end}: {fate}", message::subject(case));
    Verdict::Allow { warnings: vec![warning], audit: mode::audit(case, Decision::Paused) }
}

/// Ways to pause the object, the best one first, as commands to be pasted: the first that fits a message is for it.
pub(super) fn proposals(case: &Case<'_>) -> [String; 3] {
    let NamespacedName { namespace, name } = &case.owner.key;
    let [namespace, name] = [namespace, name].map(|text| shell::word(text));
    let last = format!("pause it in spec.protection.pauses: kubectl edit mr -n {namespace} {name}");
    // Without its group an entry is shorter, and hardly ever matches more.
    [proposal(case, Some(case.object.group())), proposal(case, None), last]
}

/// `pause it until … with: kubectl patch …`.
fn proposal(case: &Case<'_>, group: Option<&str>) -> String {
    let (object, owner, now) = (&case.object, case.owner, case.request.now);
    let period = SignedDuration::try_from(PROPOSED.min(case.longest_pause)).unwrap_or_default();
    let until = pause::time(now.checked_add(period).unwrap_or(now));
    let mut entry = json!({
        "kind": object.kind(), "namespace": object.namespace(), "name": object.name(), "until": until, "reason": "WHY",
    });
    if let Some(group) = group {
        entry["group"] = group.into();
    }
    let (kind, patch) = if owner.pauses.active(now).is_empty() {
        ("merge", json!({"spec": {"protection": {"pauses": [entry]}}}))
    } else {
        // Beside those that last.
        ("json", json!([{"op": "add", "path": "/spec/protection/pauses/-", "value": entry}]))
    };
    let patch = shell::quoted(&shell::visible_json(&patch));
    let [namespace, name] = [&owner.key.namespace, &owner.key.name].map(|text| shell::word(text));
    format!("pause it until {until} with: kubectl patch mr -n {namespace} {name} --type={kind} -p {patch}")
}

/// Whether a field is for the webhook of ManagedResources to judge, also where another ManagedResource declares this one:
/// whoever has the verb `override` may pause it.
pub(super) fn is_judged_by_own_webhook(path: &Path, request: &Request<'_>) -> bool {
    request.group == names::GROUP
        && request.resource == names::PLURAL
        && (path.starts_with(&["spec", "protection", "pauses"])
            || *path == Path::of(&["metadata", "annotations", names::ANNOTATION_IGNORE]))
}
