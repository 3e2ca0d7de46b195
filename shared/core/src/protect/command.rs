//! The command to pause an object, which a refused user can paste.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;

use super::{case::Case, shell};
use crate::{key::NamespacedName, pause};

/// Duration of a pause that a message proposes, if the rules allow that much.
const PROPOSED: Duration = Duration::from_secs(3600);

/// Returns ways to pause the object as commands to paste, the best one first. A message uses the first one that fits.
pub(super) fn proposals(case: &Case<'_>) -> [String; 3] {
    let NamespacedName { namespace, name } = &case.owner.key;
    let [namespace, name] = [namespace, name].map(|text| shell::word(text));
    let last = format!("pause it in spec.protection.pauses: kubectl edit mr -n {namespace} {name}");
    // Without its group, an entry is shorter and hardly ever matches more.
    [proposal(case, Some(case.object.group())), proposal(case, None), last]
}

/// Returns `pause it until … with: kubectl patch …`.
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
        // Keep the active pauses.
        ("json", json!([{"op": "add", "path": "/spec/protection/pauses/-", "value": entry}]))
    };
    let patch = shell::quoted(&shell::visible_json(&patch));
    let [namespace, name] = [&owner.key.namespace, &owner.key.name].map(|text| shell::word(text));
    format!("pause it until {until} with: kubectl patch mr -n {namespace} {name} --type={kind} -p {patch}")
}
