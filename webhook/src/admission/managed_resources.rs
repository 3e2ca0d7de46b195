//! Reviews of ManagedResources: one whose existing Secrets cannot be read is refused.
//!
//! Only new content is checked: a creation, or a change of the spec other than of pauses. Changes of metadata, status and
//! finalizers pass, and so does everything during deletion: a pause works while a Secret is broken.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use holdfast_core::api::ManagedResource;
use holdfast_core::key::NamespacedName;
use holdfast_core::protect::{Rules, Verdict};
use holdfast_core::validation::managed_resource;
use holdfast_core::validation::manifests::{self, Claim};
use holdfast_runtime::index::SharedIndex;
use serde::Deserialize as _;
use serde_json::Value;

use super::manifests::{
    Checker, Findings, Reason, duplicates, list, refused, unapplicable, unreadable, unreadable_audit,
};
use super::review::{Request, Verb};
use super::secret_reader::SecretReader;

/// Secrets read at a time.
const READS: usize = 4;

/// Validates a ManagedResource and the Secrets that it references.
pub async fn validate(
    request: &Request,
    index: &SharedIndex,
    rules: &Rules,
    reader: &dyn SecretReader,
    checker: &Checker,
) -> Verdict {
    let is_write = matches!(request.operation, Verb::Create | Verb::Update);
    let Some(new) = request.object.as_ref().filter(|_| is_write && request.sub_resource.is_empty()) else {
        return allow(Vec::new());
    };
    if request.is_being_deleted() {
        return allow(Vec::new());
    }
    // The API server has checked the schema of the CRD, so this object has that of another version.
    let Ok(mr) = ManagedResource::deserialize(new) else {
        return allow(vec![
            "this ManagedResource cannot be read by this version of Holdfast; its Secrets were not checked".to_owned(),
        ]);
    };
    let mut warnings = unknown_settings(&mr, request.old_object.as_ref());
    if request.old_object.as_ref().is_some_and(|old| content(old) == content(new)) {
        return allow(warnings);
    }
    let errors = managed_resource::errors(&mr);
    if !errors.is_empty() {
        return Verdict::Deny { message: errors.join("\n"), audit: BTreeMap::new() };
    }
    warnings.extend(class_change(&mr, request.old_object.as_ref()));
    let owner = NamespacedName::new(&request.namespace, request.object_name());
    let checks = check_secrets(&mr, &owner, reader, checker).await;
    checks.verdict(&owner, index, rules, warnings)
}

/// Warnings about settings without effect, unless the old state had the same ones.
fn unknown_settings(mr: &ManagedResource, old: Option<&Value>) -> Vec<String> {
    let texts = managed_resource::warnings(mr);
    let old = old.and_then(|old| ManagedResource::deserialize(old).ok());
    if old.is_some_and(|old| managed_resource::warnings(&old) == texts) { Vec::new() } else { texts }
}

/// A warning if the class changes.
fn class_change(mr: &ManagedResource, old: Option<&Value>) -> Option<String> {
    manifests::class_change(&ManagedResource::deserialize(old?).ok()?, mr)
}

/// The spec without its pauses: a review with the same content has nothing to check.
fn content(mr: &Value) -> Value {
    let mut spec = mr.get("spec").cloned().unwrap_or_default();
    if let Some(protection) = spec.get_mut("protection").and_then(Value::as_object_mut) {
        protection.remove("pauses");
        if protection.is_empty() {
            spec.as_object_mut().map(|spec| spec.remove("protection"));
        }
    }
    spec
}

/// The results for all Secrets of a ManagedResource.
#[derive(Default)]
struct Checks {
    warnings: Vec<String>,
    /// Texts about Secrets with documents that cannot be read.
    unreadable: Vec<String>,
    /// The number of such documents.
    errors: usize,
    /// Texts about Secrets with manifests that the API server would refuse.
    unapplicable: Vec<String>,
    claims: Vec<Claim>,
}

impl Checks {
    fn add(&mut self, secret: &NamespacedName, reason: &Reason, findings: Findings) {
        let Findings { errors, invalid, claims, warning } = findings;
        self.claims.extend(claims);
        self.warnings.extend(warning);
        if !invalid.is_empty() {
            self.unapplicable.push(unapplicable(secret, reason, &invalid));
        }
        if !errors.is_empty() {
            self.errors += errors.len();
            self.unreadable.push(unreadable(secret, reason, &errors));
        }
    }

    fn verdict(self, owner: &NamespacedName, index: &SharedIndex, rules: &Rules, mut warnings: Vec<String>) -> Verdict {
        if !self.unreadable.is_empty() {
            let audit = unreadable_audit(&Reason::Referenced(vec![owner.clone()]), self.errors);
            return Verdict::Deny { message: self.unreadable.join("\n"), audit };
        }
        let by = std::slice::from_ref(owner);
        let mut errors = self.unapplicable;
        errors.extend(manifests::errors(&self.claims, &rules.home));
        errors.extend(manifests::too_many(&self.claims));
        if !errors.is_empty() {
            return refused(errors.join("\n"), by);
        }
        warnings.extend(self.warnings);
        let conflicts =
            index.read(|index| index.map(|index| manifests::warnings(&self.claims, by, index)).unwrap_or_default());
        warnings.extend((!conflicts.is_empty()).then(|| format!("ManagedResource {owner}: {}", list(&conflicts))));
        allow(warnings)
    }
}

async fn check_secrets(
    mr: &ManagedResource,
    owner: &NamespacedName,
    reader: &dyn SecretReader,
    checker: &Checker,
) -> Checks {
    let reason = Reason::Referenced(vec![owner.clone()]);
    let names: Vec<String> =
        mr.secret_names().into_iter().filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect();
    let mut outcomes = stream::iter(names)
        .map(|name| check_secret(NamespacedName::new(&owner.namespace, name), reader, checker))
        .buffered(READS);
    let mut checks = Checks::default();
    while let Some((secret, outcome)) = outcomes.next().await {
        match outcome {
            Outcome::Checked(findings) => checks.add(&secret, &reason, findings),
            Outcome::Missing => checks.warnings.push(format!(
                "Secret {secret} does not exist yet; nothing of it is applied, and nothing is pruned, until it does"
            )),
            Outcome::Unread(error) => checks.warnings.push(format!("Secret {secret} was not checked: {error}")),
        }
    }
    let objects = checks.claims.iter().map(|claim| &claim.object);
    checks.warnings.extend(duplicates(objects).map(|text| format!("ManagedResource {owner}: {text}")));
    checks
}

enum Outcome {
    Checked(Findings),
    Missing,
    Unread(String),
}

async fn check_secret(
    secret: NamespacedName,
    reader: &dyn SecretReader,
    checker: &Checker,
) -> (NamespacedName, Outcome) {
    let outcome = match reader.read(&secret).await {
        Ok(Some(data)) => Outcome::Checked(checker.check(secret.clone(), data).await),
        Ok(None) => Outcome::Missing,
        Err(error) => Outcome::Unread(error),
    };
    (secret, outcome)
}

fn allow(warnings: Vec<String>) -> Verdict {
    Verdict::Allow { warnings, audit: BTreeMap::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pauses_are_not_content() {
        let base = json!({"spec": {"secretRefs": [{"name": "a"}]}});
        let paused = json!({"spec": {"secretRefs": [{"name": "a"}], "protection": {"pauses": [{"until": "x"}]}}});
        let off = json!({"spec": {"secretRefs": [{"name": "a"}], "protection": {"mode": "Off"}}});
        assert_eq!(content(&base), content(&paused));
        assert_ne!(content(&base), content(&off));
    }
}
