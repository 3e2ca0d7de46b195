//! What is to be written into a webhook configuration, if anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use json_patch::Patch as JsonPatch;
use serde_json::{Value, json};

use super::exempt_users::{CONDITION, Wanted, expression};
use super::{Configuration, Keeper, Webhook};
use crate::certificates::ServingCertificate;
use crate::certificates::pem::{certificates, joined, validity};

/// What a configuration is to be like.
pub(super) struct Wishes<'a> {
    pub(super) loaded: &'a ServingCertificate,
    pub(super) keeper: &'a Keeper,
    pub(super) exempt: Wanted<'a>,
    /// Whether CAs that are not ours may go.
    pub(super) may_drop: bool,
    pub(super) now: Timestamp,
}

pub(super) fn patch(found: &impl Configuration, wishes: &Wishes<'_>) -> Result<Option<JsonPatch>, serde_json::Error> {
    let webhooks = found.webhooks();
    let writes: Vec<Value> = webhooks
        .iter()
        .enumerate()
        .flat_map(|(index, webhook)| {
            bundle(index, webhook, wishes).into_iter().chain(condition(index, webhook, wishes))
        })
        .collect();
    if writes.is_empty() {
        return Ok(None);
    }
    // Replacing it by itself makes the server answer 409 if the list is not the one that the indices were counted in.
    let guard = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": found.meta().resource_version});
    serde_json::from_value(std::iter::once(guard).chain(writes).collect()).map(Some)
}

fn bundle(index: usize, webhook: &Webhook<'_>, wishes: &Wishes<'_>) -> Option<Value> {
    let current = webhook.bundle.map(|bundle| bundle.0.as_slice()).unwrap_or_default();
    let wanted = match wishes.keeper {
        Keeper::Others => return None,
        Keeper::Files if !wishes.may_drop => completed(current, wishes),
        Keeper::Files | Keeper::Secret(_) => wishes.loaded.bundle.clone(),
    };
    let path = format!("/webhooks/{index}/clientConfig/caBundle");
    (wanted != current).then(|| json!({"op": "add", "path": path, "value": STANDARD.encode(wanted)}))
}

/// `current` if our CAs are in it; otherwise ours, and what of it is still valid.
fn completed(current: &[u8], wishes: &Wishes<'_>) -> Vec<u8> {
    let present = certificates(current).unwrap_or_default();
    let ours = certificates(&wishes.loaded.bundle).unwrap_or_default();
    if ours.iter().all(|authority| present.contains(authority)) {
        return current.to_vec();
    }
    let valid: Vec<_> =
        present.into_iter().filter(|authority| validity(authority).is_some_and(|(_, end)| wishes.now < end)).collect();
    if valid.is_empty() {
        return wishes.loaded.bundle.clone();
    }
    joined(&String::from_utf8_lossy(&wishes.loaded.bundle), &valid).into_bytes()
}

fn condition(index: usize, webhook: &Webhook<'_>, wishes: &Wishes<'_>) -> Option<Value> {
    let list = format!("/webhooks/{index}/matchConditions");
    let place = webhook.conditions.iter().position(|condition| condition.name == CONDITION);
    let users = match wishes.exempt {
        Wanted::Users(users) => users,
        Wanted::Nobody => return place.map(|place| json!({"op": "remove", "path": format!("{list}/{place}")})),
        Wanted::AsItIs => return None,
    };
    let expression = expression(users);
    let value = json!({"name": CONDITION, "expression": expression});
    match place {
        Some(place) if webhook.conditions.get(place).is_some_and(|known| known.expression == expression) => None,
        Some(place) => Some(json!({"op": "replace", "path": format!("{list}/{place}"), "value": value})),
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

    fn writes(found: &ValidatingWebhookConfiguration, wishes: &Wishes<'_>) -> Vec<Value> {
        let Some(patch) = patch(found, wishes).unwrap() else { return Vec::new() };
        let Value::Array(mut all) = serde_json::to_value(patch).unwrap() else { panic!() };
        assert_eq!(all.remove(0), json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}));
        all
    }

    #[test]
    fn only_what_is_wrong_is_written() {
        let (ours, theirs) = (loaded(), loaded());
        let right = ours.bundle.as_slice();
        let wishes = |keeper: &'static Keeper, may_drop| Wishes {
            loaded: &ours,
            keeper,
            exempt: Wanted::AsItIs,
            may_drop,
            now: now(),
        };
        let files = wishes(&Keeper::Files, true);
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
        assert!(writes(&found, &wishes(&Keeper::Others, true)).is_empty());

        // Replicas with older files have their CA in it as well.
        let shared = wishes(&Keeper::Files, false);
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
        let with = |exempt| Wishes { loaded: &ours, keeper: &Keeper::Others, exempt, may_drop: false, now: now() };
        let wishes = with(Wanted::Users(&users));
        let value = json!({"name": "not-holdfast", "expression": "!(request.userInfo.username in [\"we\"])"});
        let found = configuration(&[(None, &[]), (None, &["a"]), (None, &["a", "not-holdfast"])]);
        assert_eq!(
            writes(&found, &wishes),
            [
                json!({"op": "add", "path": "/webhooks/0/matchConditions", "value": [value]}),
                json!({"op": "add", "path": "/webhooks/1/matchConditions/-", "value": value}),
                json!({"op": "replace", "path": "/webhooks/2/matchConditions/1", "value": value}),
            ]
        );
        let mut right = configuration(&[(None, &["not-holdfast"])]);
        let condition = &mut right.webhooks.as_mut().unwrap()[0].match_conditions.as_mut().unwrap()[0];
        condition.expression = value["expression"].as_str().unwrap().to_owned();
        assert!(writes(&right, &wishes).is_empty());
        // What nobody asks for goes, whatever it says, and nothing else does.
        assert!(writes(&found, &with(Wanted::AsItIs)).is_empty());
        let gone = json!({"op": "remove", "path": "/webhooks/2/matchConditions/1"});
        assert_eq!(writes(&found, &with(Wanted::Nobody)), [gone]);
        let gone = json!({"op": "remove", "path": "/webhooks/0/matchConditions/0"});
        assert_eq!(writes(&right, &with(Wanted::Nobody)), [gone]);
        assert!(writes(&configuration(&[(None, &[]), (None, &["a"])]), &with(Wanted::Nobody)).is_empty());
    }
}
