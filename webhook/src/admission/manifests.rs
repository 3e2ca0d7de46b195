//! Checks the manifests in Secrets, and writes the texts of refusals.
//!
//! The controller uses the same decoder, so it can read what passes here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_core::decode::{BROTLI_SUFFIX, DecodeError, Decoded, Limits, Manifest, Source, decode_secret};
use holdfast_core::key::{NamespacedName, ObjectKey};
use holdfast_core::manifest::annotations;
use holdfast_core::protect::Verdict;
use holdfast_core::validation::manifests::Claim;
use holdfast_core::{names, validation::managed_resource};
use serde_json::Value;
use tokio::sync::Semaphore;

/// Checks at a time.
const CHECKS: u32 = 2;
/// A Secret with more text than this, in bytes, is checked alone: it may need some 50 MiB.
const HEAVY: usize = 256 << 10;
/// Longest message of a refusal, in bytes.
const MAX_MESSAGE: usize = 8 * 1024;
/// Longest line about one error, in characters.
const MAX_LINE: usize = 1000;
/// How many objects or ManagedResources one text names; it counts the rest.
const MAX_NAMED: usize = 3;

/// Content of a Secret.
pub type Data = BTreeMap<String, Vec<u8>>;

/// Decodes Secrets, few at a time and off the async threads. Clones share the limit.
#[derive(Clone, Debug)]
pub struct Checker {
    slots: Arc<Semaphore>,
}

impl Default for Checker {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(CHECKS as usize)) }
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Documents that cannot be read.
    pub errors: Vec<DecodeError>,
    /// Manifests that the API server would refuse.
    pub invalid: Vec<DecodeError>,
    /// All objects, in order.
    pub claims: Vec<Claim>,
    /// A warning about annotations of manifests that can be read.
    pub warning: Option<String>,
}

impl Checker {
    /// Decodes a Secret once a slot is free. Dropping the future does not stop the decoder or free its slot.
    pub async fn check(&self, secret: NamespacedName, data: Data) -> Findings {
        let weight = if is_heavy(&data) { CHECKS } else { 1 };
        let Ok(slot) = Arc::clone(&self.slots).acquire_many_owned(weight).await else { return Findings::default() };
        let checked = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let Decoded { manifests, errors } =
                decode_secret(&secret.namespace, &secret.name, &data, &Limits::default());
            let warning = annotation_warning(&secret, &manifests);
            let invalid = invalid(&secret, &manifests);
            Findings { errors, invalid, claims: manifests.iter().map(Claim::of).collect(), warning }
        });
        match checked.await {
            Ok(findings) => findings,
            // The caller's task turns panics into an answer.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Findings::default(),
        }
    }
}

/// Whether the text is large, or may be large once it is unpacked.
fn is_heavy(data: &Data) -> bool {
    let is_packed = data.keys().any(|key| key.ends_with(BROTLI_SUFFIX));
    is_packed || data.values().map(Vec::len).sum::<usize>() > HEAVY
}

/// Manifests with labels or annotations that no object can have.
fn invalid(secret: &NamespacedName, manifests: &[Manifest]) -> Vec<DecodeError> {
    let invalid = manifests.iter().flat_map(|manifest| {
        let Source { key, document, line, .. } = &manifest.source;
        let texts = managed_resource::metadata(&manifest.object).into_iter();
        texts.map(move |text| DecodeError {
            secret: secret.to_string(),
            key: key.clone(),
            document: Some(*document),
            line: Some(*line),
            reason: format!("{}: {text}", Claim::of(manifest).object),
        })
    });
    invalid.collect()
}

/// The content of a Secret in a review, as it will be stored. It skips values that are not base64: the API server refuses
/// them.
pub fn data_of(secret: &Value) -> Data {
    let entries = |field: &str| secret.get(field).and_then(Value::as_object).into_iter().flatten();
    let encoded =
        entries("data").filter_map(|(key, value)| Some((key.clone(), STANDARD.decode(value.as_str()?).ok()?)));
    let plain =
        entries("stringData").filter_map(|(key, value)| Some((key.clone(), value.as_str()?.as_bytes().to_vec())));
    encoded.chain(plain).collect()
}

/// Why the manifests of a Secret have to be valid.
#[derive(Clone, Debug)]
pub enum Reason {
    /// These ManagedResources reference it.
    Referenced(Vec<NamespacedName>),
    /// It carries the label.
    Labelled,
}

/// The refusal of manifests that cannot be read: one line per error, cut at 8 KiB.
pub fn unreadable(secret: &NamespacedName, reason: &Reason, errors: &[DecodeError]) -> String {
    error_list(secret, reason, "and its manifests cannot be read", errors)
}

/// The refusal of manifests that can be read but not applied.
pub fn unapplicable(secret: &NamespacedName, reason: &Reason, errors: &[DecodeError]) -> String {
    error_list(secret, reason, "and the API server would refuse some of its manifests", errors)
}

fn error_list(secret: &NamespacedName, reason: &Reason, why: &str, errors: &[DecodeError]) -> String {
    let mut text = match reason {
        Reason::Referenced(by) => format!("Secret {secret} is referenced by {}", managed_resources(by)),
        Reason::Labelled => format!("Secret {secret} carries the label {}=true", names::LABEL_MANIFESTS),
    };
    let _ = write!(text, " {why}:");
    for (index, error) in errors.iter().enumerate() {
        let line = line(error);
        if text.len() + line.len() > MAX_MESSAGE {
            let _ = write!(text, "\n- and {} more", errors.len() - index);
            break;
        }
        text.push_str(&line);
    }
    text
}

/// A refusal for other reasons.
pub fn refused(message: String, by: &[NamespacedName]) -> Verdict {
    let mut audit = BTreeMap::from([("decision".to_owned(), "deny".to_owned())]);
    if !by.is_empty() {
        audit.insert("managed-resource".to_owned(), list(by));
    }
    Verdict::Deny { message, audit }
}

/// The audit annotations of a refusal.
pub fn unreadable_audit(reason: &Reason, errors: usize) -> BTreeMap<String, String> {
    let mut audit =
        BTreeMap::from([("decision".to_owned(), "deny".to_owned()), ("undecodable".to_owned(), errors.to_string())]);
    if let Reason::Referenced(by) = reason {
        audit.insert("managed-resource".to_owned(), list(by));
    }
    audit
}

fn line(error: &DecodeError) -> String {
    let mut line = format!("\n- key {:?}", error.key);
    if let Some(document) = error.document {
        let _ = write!(line, ", document {document}");
    }
    if let Some(number) = error.line {
        let _ = write!(line, ", line {number}");
    }
    let _ = write!(line, ": {}", error.reason);
    match line.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{} …", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// `ManagedResource a/b`, or `ManagedResources a/b, a/c, a/d and 2 more`.
pub fn managed_resources(by: &[NamespacedName]) -> String {
    let plural = if by.len() == 1 { "" } else { "s" };
    format!("ManagedResource{plural} {}", list(by))
}

/// A warning about annotations with values that are not understood.
fn annotation_warning(secret: &NamespacedName, manifests: &[Manifest]) -> Option<String> {
    let texts = manifests.iter().flat_map(|manifest| {
        let Source { key, document, .. } = &manifest.source;
        let texts = annotations::warnings(&manifest.object).into_iter();
        texts.map(move |text| format!("{} (key {key:?}, document {document}): {text}", Claim::of(manifest).object))
    });
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| format!("Secret {secret}: {}", list(&texts)))
}

/// A warning about objects that are declared more than once.
pub fn duplicates<'a>(objects: impl IntoIterator<Item = &'a ObjectKey>) -> Option<String> {
    let (mut seen, mut repeated) = (BTreeSet::new(), Vec::new());
    for object in objects {
        if !seen.insert(object) && !repeated.contains(&object) {
            repeated.push(object);
        }
    }
    (!repeated.is_empty()).then(|| format!("declared more than once, the last one counts: {}", list(&repeated)))
}

/// The first three, and how many more.
pub fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let named = items.iter().take(MAX_NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(MAX_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(document: usize, reason: &str) -> DecodeError {
        DecodeError {
            secret: "default/x".to_owned(),
            key: "objects.yaml".to_owned(),
            document: Some(document),
            line: Some(17),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn refusals_list_every_error_up_to_a_bound() {
        let secret = NamespacedName::new("default", "x");
        let by = Reason::Referenced(vec![NamespacedName::new("default", "example")]);
        assert_eq!(
            unreadable(&secret, &by, &[error(2, "no kind"), error(3, "no name")]),
            "Secret default/x is referenced by ManagedResource default/example and its manifests cannot be read:\n\
             - key \"objects.yaml\", document 2, line 17: no kind\n- key \"objects.yaml\", document 3, line 17: no name"
        );
        let many: Vec<_> = (0..10_000).map(|document| error(document, "no kind")).collect();
        let text = unreadable(&secret, &Reason::Labelled, &many);
        assert!(text.len() < MAX_MESSAGE + 100 && text.contains("\n- and ") && text.ends_with(" more"));
        let long = unreadable(&secret, &Reason::Labelled, &[error(1, &"ü".repeat(9000))]);
        assert!(long.chars().count() < MAX_LINE + 200 && long.ends_with(" …"));
    }

    #[test]
    fn data_is_what_will_be_stored() {
        let secret = json!({"data": {"a": "eA==", "b": "!", "c": "eQ=="}, "stringData": {"c": "z"}});
        assert_eq!(data_of(&secret), Data::from([("a".to_owned(), b"x".to_vec()), ("c".to_owned(), b"z".to_vec())]));
        assert!(data_of(&json!({})).is_empty());
    }

    #[test]
    fn duplicates_are_named_once() {
        let key = |name: &str| ObjectKey::new("", "ConfigMap", "n", name);
        assert_eq!(duplicates(&[key("a"), key("b")]), None);
        let text = duplicates(&[key("a"), key("a"), key("a"), key("b")]).unwrap();
        assert_eq!(text, "declared more than once, the last one counts: ConfigMap n/a");
    }
}
