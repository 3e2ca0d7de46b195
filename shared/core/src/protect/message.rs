//! What a refused user reads: which fields, whose object, what to change instead, how to get through in an emergency.

use std::{collections::BTreeMap, time::Duration};

use super::{Changes, Offence, Request, pausing};
use crate::{fields::Path, key::ObjectKey, ownership::Owner};

/// Paths named in full; the rest is counted.
const NAMED_PATHS: usize = 5;

/// The denial, under 1,024 characters for names of ordinary length.
pub(super) fn denial(
    request: &Request<'_>,
    object: &ObjectKey,
    owner: &Owner,
    offence: &Offence,
    longest_pause: Duration,
) -> String {
    let subject = subject(request, object, owner);
    let secrets = secrets(owner, object);
    let pause = pausing::proposal(object, owner, request.now, longest_pause);
    match offence {
        Offence::Change(changes) => {
            format!("{subject}: {}. Change the Secret, or {pause}", what_changes(changes, &secrets))
        }
        Offence::Deletion => {
            format!("{subject} and would be created again. Remove it from {secrets}, or {pause}")
        }
        Offence::Creation => format!("{subject}, which creates it from {secrets}. Change the Secret, or {pause}"),
    }
}

/// `deployments.apps "nginx" is managed by ManagedResource default/example`.
pub(super) fn subject(request: &Request<'_>, object: &ObjectKey, owner: &Owner) -> String {
    let group = if request.group.is_empty() { String::new() } else { format!(".{}", request.group) };
    format!("{}{group} {:?} is managed by ManagedResource {}", request.resource, object.name, owner.key)
}

/// The same for the audit log, in pieces.
pub(super) fn audit(owner: &Owner, offence: &Offence) -> BTreeMap<String, String> {
    let what = match offence {
        Offence::Change(changes) => {
            let all: Vec<&Path> = changes.all().collect();
            path_list(all.into_iter(), NAMED_PATHS).0
        }
        Offence::Deletion => "(deletion)".to_owned(),
        Offence::Creation => "(creation)".to_owned(),
    };
    BTreeMap::from([
        ("managed-resource".to_owned(), owner.key.to_string()),
        ("decision".to_owned(), "deny".to_owned()),
        ("paths".to_owned(), what),
    ])
}

/// Each group of fields with what would become of the change; at most [`NAMED_PATHS`] fields by name.
fn what_changes(changes: &Changes, secrets: &str) -> String {
    let mut left = NAMED_PATHS;
    let mut parts = Vec::new();
    for (paths, fate) in [
        (&changes.declared, format!("declared in {secrets} and would be reset")),
        (&changes.undeclared, format!("not declared in {secrets} and would be removed")),
        (&changes.reserved, "reserved for Holdfast and would be reset".to_owned()),
    ] {
        if !paths.is_empty() {
            let (list, verb) = path_list(paths.iter(), left);
            left = left.saturating_sub(paths.len());
            parts.push(format!("{list} {verb} {fate}"));
        }
    }
    parts.join("; ")
}

/// `a`, `a and b`, `a, b and 2 more fields`, with at most `named` of them by name; and the verb that goes with it.
fn path_list<'a>(paths: impl ExactSizeIterator<Item = &'a Path>, named: usize) -> (String, &'static str) {
    let total = paths.len();
    let mut parts: Vec<String> = paths.take(named).map(ToString::to_string).collect();
    let noun = if parts.is_empty() { "field" } else { "more field" };
    match total - parts.len() {
        0 => {}
        1 => parts.push(format!("1 {noun}")),
        rest => parts.push(format!("{rest} {noun}s")),
    }
    let verb = if total == 1 { "is" } else { "are" };
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => (format!("{} and {last}", rest.join(", ")), verb),
        Some((only, _)) => (only.clone(), verb),
        None => (String::new(), verb),
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
