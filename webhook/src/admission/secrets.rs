//! Reviews of Secrets: a Secret with manifests that cannot be read is refused, if a ManagedResource references it or its label
//! asks for that.
//!
//! Changes of metadata alone always pass, so that a Secret that was stored while the webhook was down can be labelled, mended
//! step by step, or deleted. The deletion of a referenced Secret passes with a warning: nothing is lost, because pruning waits
//! for the Secret.

use std::collections::BTreeMap;

use holdfast_core::key::NamespacedName;
use holdfast_core::protect::{Rules, Verdict};
use holdfast_core::{names, validation::manifests};
use holdfast_runtime::index::SharedIndex;
use serde_json::Value;

use super::manifests::{
    Checker, Reason, data_of, duplicates, list, managed_resources, refused, unapplicable, unreadable, unreadable_audit,
};
use super::review::{Request, Verb};

/// Validates the manifests in a Secret.
pub async fn validate(request: &Request, index: &SharedIndex, rules: &Rules, checker: &Checker) -> Verdict {
    if !request.sub_resource.is_empty() {
        return allow(None);
    }
    let key = NamespacedName::new(&request.namespace, request.object_name());
    let users = || users(index, &key);
    match (request.operation, &request.object) {
        (Verb::Delete, _) => allow(deletion(request, rules, &key, &users())),
        (Verb::Create | Verb::Update, Some(secret)) if has_new_content(request, secret) => {
            match reason_to_check(secret, users()) {
                Some(reason) => content(key, secret, &reason, index, rules, checker).await,
                None => allow(None),
            }
        }
        _ => allow(None),
    }
}

fn users(index: &SharedIndex, secret: &NamespacedName) -> Vec<NamespacedName> {
    index.read(|index| {
        index.map(|index| index.users_of_secret(secret).into_iter().cloned().collect()).unwrap_or_default()
    })
}

/// Why the manifests have to be valid, if they have to.
fn reason_to_check(secret: &Value, users: Vec<NamespacedName>) -> Option<Reason> {
    if !users.is_empty() {
        return Some(Reason::Referenced(users));
    }
    is_labelled(secret).then_some(Reason::Labelled)
}

/// Whether there is anything to check: new data, or a new label that asks for it.
fn has_new_content(request: &Request, secret: &Value) -> bool {
    let Some(old) = request.old_object.as_ref() else { return true };
    let has_string_data = secret.get("stringData").and_then(Value::as_object).is_some_and(|data| !data.is_empty());
    has_string_data || secret.get("data") != old.get("data") || (is_labelled(secret) && !is_labelled(old))
}

fn is_labelled(secret: &Value) -> bool {
    let labels = secret.pointer("/metadata/labels");
    labels.and_then(|labels| labels.get(names::LABEL_MANIFESTS)).and_then(Value::as_str) == Some("true")
}

async fn content(
    key: NamespacedName,
    secret: &Value,
    reason: &Reason,
    index: &SharedIndex,
    rules: &Rules,
    checker: &Checker,
) -> Verdict {
    let findings = checker.check(key.clone(), data_of(secret)).await;
    if !findings.errors.is_empty() {
        let audit = unreadable_audit(reason, findings.errors.len());
        return Verdict::Deny { message: unreadable(&key, reason, &findings.errors), audit };
    }
    let by: &[NamespacedName] = if let Reason::Referenced(by) = reason { by } else { &[] };
    if !findings.invalid.is_empty() {
        return refused(unapplicable(&key, reason, &findings.invalid), by);
    }
    let mut errors = manifests::errors(&findings.claims, &rules.home);
    errors.extend(manifests::too_many(&findings.claims));
    if !errors.is_empty() {
        return refused(format!("Secret {key}: {}", list(&errors)), by);
    }
    let duplicates = duplicates(findings.claims.iter().map(|claim| &claim.object));
    let conflicts =
        index.read(|index| index.map(|index| manifests::warnings(&findings.claims, by, index)).unwrap_or_default());
    let conflicts = (!conflicts.is_empty()).then(|| list(&conflicts));
    let texts = duplicates.into_iter().chain(conflicts).map(|text| format!("Secret {key}: {text}"));
    allow(texts.chain(findings.warning))
}

fn deletion(request: &Request, rules: &Rules, key: &NamespacedName, users: &[NamespacedName]) -> Option<String> {
    if users.is_empty() || rules.exempt.contains(&request.user_info.username, request.groups()) {
        return None;
    }
    Some(format!(
        "Secret {key} is referenced by {}; the objects stay, pruning is held back until the Secret is back",
        managed_resources(users)
    ))
}

fn allow(warnings: impl IntoIterator<Item = String>) -> Verdict {
    Verdict::Allow { warnings: warnings.into_iter().collect(), audit: BTreeMap::new() }
}
