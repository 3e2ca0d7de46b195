//! The patch of a webhook configuration, if it needs one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use json_patch::Patch as JsonPatch;
use serde_json::{Value, json};

use super::BundleWriter;
use super::configuration::{Webhook, WebhookConfiguration};
use super::exempt_users::{CONDITION, DesiredExemption, expression};
use crate::certificates::ServingCertificate;
use crate::certificates::pem::{certificates, joined, validity};

/// The desired content of a configuration.
pub(super) struct Desired<'a> {
    pub(super) certificate: &'a ServingCertificate,
    pub(super) writer: &'a BundleWriter,
    pub(super) exempt: DesiredExemption<'a>,
    /// Whether to drop the CAs of others.
    pub(super) may_drop: bool,
    pub(super) now: Timestamp,
}

/// The patch that makes a configuration as desired.
///
/// # Errors
/// It cannot be written as JSON.
pub(super) fn patch(
    found: &impl WebhookConfiguration,
    desired: &Desired<'_>,
) -> Result<Option<JsonPatch>, serde_json::Error> {
    let webhooks = found.webhooks();
    let writes: Vec<Value> = webhooks
        .iter()
        .enumerate()
        .flat_map(|(index, webhook)| {
            bundle(index, webhook, desired).into_iter().chain(condition(index, webhook, desired))
        })
        .collect();
    if writes.is_empty() {
        return Ok(None);
    }
    // A changed resourceVersion makes the server answer 409: the indices below may be wrong then.
    let guard = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": found.meta().resource_version});
    serde_json::from_value(std::iter::once(guard).chain(writes).collect()).map(Some)
}

fn bundle(index: usize, webhook: &Webhook<'_>, desired: &Desired<'_>) -> Option<Value> {
    let current = webhook.bundle.map(|bundle| bundle.0.as_slice()).unwrap_or_default();
    let bundle = match desired.writer {
        BundleWriter::External => return None,
        BundleWriter::Files if !desired.may_drop => with_ours(current, desired),
        BundleWriter::Files | BundleWriter::Secret(_) => desired.certificate.bundle.clone(),
    };
    let path = format!("/webhooks/{index}/clientConfig/caBundle");
    (bundle != current).then(|| json!({"op": "add", "path": path, "value": STANDARD.encode(bundle)}))
}

/// `current` if our CAs are in it; otherwise ours, and what of it is still valid.
fn with_ours(current: &[u8], desired: &Desired<'_>) -> Vec<u8> {
    let present = certificates(current).unwrap_or_default();
    let ours = certificates(&desired.certificate.bundle).unwrap_or_default();
    if ours.iter().all(|authority| present.contains(authority)) {
        return current.to_vec();
    }
    let valid: Vec<_> =
        present.into_iter().filter(|authority| validity(authority).is_some_and(|(_, end)| desired.now < end)).collect();
    if valid.is_empty() {
        return desired.certificate.bundle.clone();
    }
    joined(&String::from_utf8_lossy(&desired.certificate.bundle), &valid).into_bytes()
}

fn condition(index: usize, webhook: &Webhook<'_>, desired: &Desired<'_>) -> Option<Value> {
    let list = format!("/webhooks/{index}/matchConditions");
    let position = webhook.conditions.iter().position(|condition| condition.name == CONDITION);
    let users = match desired.exempt {
        DesiredExemption::Users(users) => users,
        DesiredExemption::Nobody => {
            return position.map(|position| json!({"op": "remove", "path": format!("{list}/{position}")}));
        }
        DesiredExemption::Unchanged => return None,
    };
    let expression = expression(users);
    let value = json!({"name": CONDITION, "expression": expression});
    match position {
        Some(position) if webhook.conditions.get(position).is_some_and(|current| current.expression == expression) => {
            None
        }
        Some(position) => Some(json!({"op": "replace", "path": format!("{list}/{position}"), "value": value})),
        None if webhook.conditions.is_empty() => Some(json!({"op": "add", "path": list, "value": [value]})),
        None => Some(json!({"op": "add", "path": format!("{list}/-"), "value": value})),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;

    use super::*;
    use crate::certificates::{Finding, Lifetimes, inspect, issue};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn loaded() -> ServingCertificate {
        let names = ["webhook.n.svc".to_owned()];
        let issued = issue(&names, Lifetimes::default(), now()).unwrap();
        let data = [("ca.crt", issued.authority), ("tls.crt", issued.leaf), ("tls.key", issued.leaf_key)]
            .map(|(key, pem)| (key.to_owned(), pem.into_bytes()))
            .into();
        let Finding::Good(loaded) = inspect(&data, &names, now()) else { panic!() };
        loaded
    }

    fn configuration(webhooks: &[(Option<&[u8]>, &[&str])]) -> ValidatingWebhookConfiguration {
        let webhook = |(bundle, conditions): &(Option<&[u8]>, &[&str])| {
            let conditions: Vec<_> =
                conditions.iter().map(|name| json!({"name": name, "expression": "true"})).collect();
            json!({"name": "x", "admissionReviewVersions": ["v1"], "sideEffects": "None", "matchConditions": conditions,
                "clientConfig": {"service": {"name": "s", "namespace": "n"},
                    "caBundle": bundle.map(|bundle| STANDARD.encode(bundle))}})
        };
        let webhooks: Vec<_> = webhooks.iter().map(webhook).collect();
        serde_json::from_value(json!({"metadata": {"resourceVersion": "7"}, "webhooks": webhooks})).unwrap()
    }

    fn writes(found: &ValidatingWebhookConfiguration, desired: &Desired<'_>) -> Vec<Value> {
        let Some(patch) = patch(found, desired).unwrap() else { return Vec::new() };
        let Value::Array(mut all) = serde_json::to_value(patch).unwrap() else { panic!() };
        assert_eq!(all.remove(0), json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}));
        all
    }

    #[test]
    fn only_what_is_wrong_is_written() {
        let (ours, theirs) = (loaded(), loaded());
        let right = ours.bundle.as_slice();
        let desired = |writer: &'static BundleWriter, may_drop| Desired {
            certificate: &ours,
            writer,
            exempt: DesiredExemption::Unchanged,
            may_drop,
            now: now(),
        };
        let files = desired(&BundleWriter::Files, true);
        assert!(writes(&configuration(&[(Some(right), &[]), (Some(right), &[])]), &files).is_empty());
        let found = configuration(&[(Some(&theirs.bundle), &[]), (Some(right), &[]), (None, &[])]);
        let value = STANDARD.encode(right);
        assert_eq!(
            writes(&found, &files),
            [
                json!({"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": value}),
                json!({"op": "add", "path": "/webhooks/2/clientConfig/caBundle", "value": value}),
            ]
        );
        assert!(writes(&found, &desired(&BundleWriter::External, true)).is_empty());

        // Replicas may still serve with older files.
        let shared = desired(&BundleWriter::Files, false);
        let written = writes(&found, &shared);
        assert_eq!(written.len(), 2);
        let both = STANDARD.decode(written[0]["value"].as_str().unwrap()).unwrap();
        assert!(ours.is_trusted_through(&both, now()) && theirs.is_trusted_through(&both, now()));
        assert!(writes(&configuration(&[(Some(&both), &[])]), &shared).is_empty());
        let rest = writes(&configuration(&[(Some(b"nonsense"), &[])]), &shared);
        assert_eq!(rest[0]["value"], json!(value));
    }

    #[test]
    fn our_own_users_are_kept_in_a_condition() {
        let ours = loaded();
        let users = ["we".to_owned()];
        let with = |exempt| Desired {
            certificate: &ours,
            writer: &BundleWriter::External,
            exempt,
            may_drop: false,
            now: now(),
        };
        let desired = with(DesiredExemption::Users(&users));
        let value = json!({"name": "not-holdfast", "expression": "!(request.userInfo.username in [\"we\"])"});
        let found = configuration(&[(None, &[]), (None, &["a"]), (None, &["a", "not-holdfast"])]);
        assert_eq!(
            writes(&found, &desired),
            [
                json!({"op": "add", "path": "/webhooks/0/matchConditions", "value": [value]}),
                json!({"op": "add", "path": "/webhooks/1/matchConditions/-", "value": value}),
                json!({"op": "replace", "path": "/webhooks/2/matchConditions/1", "value": value}),
            ]
        );
        let mut right = configuration(&[(None, &["not-holdfast"])]);
        let condition = &mut right.webhooks.as_mut().unwrap()[0].match_conditions.as_mut().unwrap()[0];
        condition.expression = value["expression"].as_str().unwrap().to_owned();
        assert!(writes(&right, &desired).is_empty());
        // An obsolete condition goes, whatever it says, and nothing else does.
        assert!(writes(&found, &with(DesiredExemption::Unchanged)).is_empty());
        let gone = json!({"op": "remove", "path": "/webhooks/2/matchConditions/1"});
        assert_eq!(writes(&found, &with(DesiredExemption::Nobody)), [gone]);
        let gone = json!({"op": "remove", "path": "/webhooks/0/matchConditions/0"});
        assert_eq!(writes(&right, &with(DesiredExemption::Nobody)), [gone]);
        assert!(writes(&configuration(&[(None, &[]), (None, &["a"])]), &with(DesiredExemption::Nobody)).is_empty());
    }
}
