//! What a refused user reads: which fields, whose object, what to change instead, how to get through in an emergency.

use std::collections::BTreeMap;

use super::{Offence, Request};
use crate::{fields::Path, key::ObjectKey, names, ownership::Owner};

/// Paths named in full; the rest is counted.
const NAMED_PATHS: usize = 5;

/// The denial, under 1,024 characters for names of ordinary length.
pub(super) fn denial(request: &Request<'_>, object: &ObjectKey, owner: &Owner, offence: &Offence) -> String {
    let group = if request.group.is_empty() { String::new() } else { format!(".{}", request.group) };
    let subject = format!("{}{group} {:?} is managed by ManagedResource {}", request.resource, object.name, owner.key);
    let secrets = secrets(owner, object);
    let pause = format!(
        "pause with: kubectl annotate managedresource -n {} {} {}=true",
        owner.key.namespace,
        owner.key.name,
        names::ANNOTATION_IGNORE
    );
    match offence {
        Offence::Change(paths) => {
            let (reserved, declared): (Vec<&Path>, Vec<&Path>) = paths.iter().partition(|path| is_reserved(path));
            let mut held = Vec::new();
            if !declared.is_empty() {
                let (list, verb) = path_list(&declared);
                held.push(format!("{list} {verb} declared in {secrets}"));
            }
            if !reserved.is_empty() {
                let (list, verb) = path_list(&reserved);
                held.push(format!("{list} {verb} reserved for Holdfast"));
            }
            format!("{subject}: {} and would be reset. Change the Secret, or {pause}", held.join(", "))
        }
        Offence::Deletion => {
            format!("{subject} and would be created again. Remove it from {secrets}, or {pause}")
        }
        Offence::Creation => format!("{subject}, which creates it from {secrets}. Change the Secret, or {pause}"),
    }
}

/// The same for the audit log, in pieces.
pub(super) fn audit(owner: &Owner, offence: &Offence) -> BTreeMap<String, String> {
    let what = match offence {
        Offence::Change(paths) => path_list(&paths.iter().collect::<Vec<_>>()).0,
        Offence::Deletion => "(deletion)".to_owned(),
        Offence::Creation => "(creation)".to_owned(),
    };
    BTreeMap::from([
        ("managed-resource".to_owned(), owner.key.to_string()),
        ("decision".to_owned(), "deny".to_owned()),
        ("paths".to_owned(), what),
    ])
}

/// Whether a field is held for its own sake and not because a manifest declares it.
fn is_reserved(path: &Path) -> bool {
    let text = path.to_string();
    let is_mark = |map: &str| text.strip_prefix(map).is_some_and(|rest| rest.starts_with(names::RESERVED_PREFIX));
    is_mark("metadata.labels[")
        || is_mark("metadata.annotations[")
        || path.starts_with(&["metadata", "ownerReferences"])
        || path.starts_with(&["metadata", "managedFields"])
}

/// `a`, `a and b`, `a, b, c, d, e and 2 more fields`, and the verb that goes with it.
fn path_list(paths: &[&Path]) -> (String, &'static str) {
    let mut parts: Vec<String> = paths.iter().take(NAMED_PATHS).map(ToString::to_string).collect();
    match paths.len().saturating_sub(NAMED_PATHS) {
        0 => {}
        1 => parts.push("1 more field".to_owned()),
        more => parts.push(format!("{more} more fields")),
    }
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => (format!("{} and {last}", rest.join(", ")), "are"),
        Some((only, _)) => (only.clone(), "is"),
        None => (String::new(), "are"),
    }
}

/// The Secret that declares the object where the inventory says which, otherwise all of them.
fn secrets(owner: &Owner, object: &ObjectKey) -> String {
    let full = |name: &str| format!("{}/{name}", owner.key.namespace);
    if let Some(secret) = owner.secret_of(object) {
        return format!("Secret {}", full(secret));
    }
    match owner.secrets.as_slice() {
        [] => "its Secrets".to_owned(),
        [one] => format!("Secret {}", full(one)),
        [one, two] => format!("Secret {} or {}", full(one), full(two)),
        [one, two, rest @ ..] => format!("Secret {}, {} or {} more", full(one), full(two), rest.len()),
    }
}
