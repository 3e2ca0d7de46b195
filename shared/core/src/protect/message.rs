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
            let (list, plural) = path_list(paths);
            let verb = if plural { "are" } else { "is" };
            format!("{subject}: {list} {verb} declared in {secrets} and would be reset. Change the Secret, or {pause}")
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
        Offence::Change(paths) => path_list(paths).0,
        Offence::Deletion => "(deletion)".to_owned(),
        Offence::Creation => "(creation)".to_owned(),
    };
    BTreeMap::from([
        ("managed-resource".to_owned(), owner.key.to_string()),
        ("decision".to_owned(), "deny".to_owned()),
        ("paths".to_owned(), what),
    ])
}

/// `a`, `a and b`, `a, b, c, d, e and 2 more fields`; and whether that is a plural.
fn path_list(paths: &[Path]) -> (String, bool) {
    let mut parts: Vec<String> = paths.iter().take(NAMED_PATHS).map(ToString::to_string).collect();
    match paths.len().saturating_sub(NAMED_PATHS) {
        0 => {}
        1 => parts.push("1 more field".to_owned()),
        more => parts.push(format!("{more} more fields")),
    }
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => (format!("{} and {last}", rest.join(", ")), true),
        Some((only, _)) => (only.clone(), false),
        None => (String::new(), false),
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
