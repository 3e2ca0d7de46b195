//! Deletions that wait for finalizers, of objects that limit the time (an annotation of the original).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::{duration, field_set, names};

/// What to do about the finalizers of an object that is being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finalize {
    /// Nothing.
    No,
    /// Remove them after this time.
    In(Duration),
    /// Remove them.
    Now,
    /// Nothing, because the period is invalid; the text says why.
    Unclear(String),
}

/// Decides about a live object. The period counts only if the manifest declares it. It forces a deletion, and anybody
/// could set it on a live object (`docs/design/order.md`).
pub fn decide(live: &Value, now: Timestamp) -> Finalize {
    let metadata = &live["metadata"];
    let Some(period) = metadata["annotations"][names::ANNOTATION_FINALIZE_AFTER].as_str() else { return Finalize::No };
    let Some(since) = metadata["deletionTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
        return Finalize::No;
    };
    if !is_declared(live) {
        return Finalize::No;
    }
    let period = match duration::parse(period) {
        Ok(period) if period.is_zero() => return Finalize::No,
        Ok(period) => period,
        Err(why) => {
            let name = names::ANNOTATION_FINALIZE_AFTER;
            return Finalize::Unclear(format!("failed parsing duration of {name} annotation: {why}"));
        }
    };
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    match period.saturating_sub(waited) {
        Duration::ZERO => Finalize::Now,
        remaining => Finalize::In(remaining),
    }
}

/// Whether one of our own entries owns the annotation.
fn is_declared(live: &Value) -> bool {
    let field = format!("f:{}", names::ANNOTATION_FINALIZE_AFTER);
    let owns = |entry: &Value| {
        let annotations = &entry["fieldsV1"]["f:metadata"]["f:annotations"];
        field_set::is_own(entry) && annotations.get(&field).is_some()
    };
    field_set::entries(live).iter().any(owns)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(period: &str, since: Option<&str>, manager: &str) -> Value {
        let name = names::ANNOTATION_FINALIZE_AFTER;
        let owned = json!({"f:metadata": {"f:annotations": {format!("f:{name}"): {}}}});
        json!({"metadata": {
            "annotations": {name: period}, "deletionTimestamp": since,
            "managedFields": [{"manager": manager, "operation": "Apply", "fieldsV1": owned}]
        }})
    }

    #[test]
    fn only_our_own_period_that_is_over_removes_finalizers() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let since = Some("2026-01-01T00:00:00Z");
        for (case, object, expected) in [
            ("over", object("1h", since, "holdfast"), Finalize::Now),
            ("long over", object("1s", since, "holdfast"), Finalize::Now),
            ("not yet", object("90m", since, "holdfast"), Finalize::In(Duration::from_secs(1800))),
            ("somebody else's", object("1h", since, "kubectl"), Finalize::No),
            ("not in deletion", object("1h", None, "holdfast"), Finalize::No),
            ("switched off", object("0", since, "holdfast"), Finalize::No),
            ("a clock that is behind", object("1s", Some("2026-01-01T02:00:00Z"), "holdfast"), Finalize::In(Duration::from_secs(1))),
            (
                "no duration",
                object("soon", since, "holdfast"),
                Finalize::Unclear("failed parsing duration of resources.gardener.cloud/finalize-deletion-after annotation: time: invalid duration \"soon\"".to_owned()),
            ),
            ("none", json!({"metadata": {"deletionTimestamp": since}}), Finalize::No),
        ] {
            assert_eq!(decide(&object, now), expected, "{case}");
        }
    }
}
