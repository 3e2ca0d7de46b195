//! Texts that users read about their edits. A text names the fields, the owner of the object, the fate of the edit,
//! what to change instead, whom to ask, and how to pause in an emergency. It never contains a value, and is never
//! longer than [`MOST`].

use std::fmt::Write as _;

use super::case::{Case, Offence};
use super::{changes::Changes, command, shell};
use crate::{api::Repair, field_set::Path, text};

/// Longest text, in bytes. The limit for the whole message is 1,024 bytes, and other parts come before this text.
const MOST: usize = 940;
/// Longest contact, in bytes.
const CONTACT: usize = 100;
/// Most paths that the audit log lists, and the longest path, in bytes.
const AUDITED: (usize, usize) = (5, 200);

/// The fate of the edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// It is refused.
    Refused,
    /// It is stored, and undone later.
    Accepted,
    /// It is undone before it is stored.
    PutBack {
        /// Part of the edit is kept.
        keeps_some: bool,
    },
}

/// A level of detail. A text uses the first shape that fits.
struct Shape {
    /// Most paths to list. The text gives the number of further paths.
    paths: usize,
    /// Longest path, name of the object and name of a Secret, in bytes.
    name: usize,
    /// Longest name of the ManagedResource at the start of the text, and longest contact, in bytes.
    owner: usize,
    /// Whether to name Secrets.
    has_secrets: bool,
}

const SHAPES: [Shape; 4] = [
    Shape { paths: 5, name: 253, owner: 317, has_secrets: true },
    Shape { paths: 3, name: 100, owner: 317, has_secrets: true },
    Shape { paths: 1, name: 60, owner: 100, has_secrets: true },
    Shape { paths: 0, name: 30, owner: 60, has_secrets: false },
];

/// Returns the text for the user. Other parts become shorter before the command to pause does. Only if nothing fits,
/// the shortest text is cut.
pub(super) fn text(case: &Case<'_>, tone: Tone) -> String {
    let commands = command::proposals(case);
    let mut texts = commands.iter().flat_map(|pause| SHAPES.iter().map(|shape| written(case, tone, shape, pause)));
    let fits = texts.clone().find(|text| text.len() <= MOST);
    fits.or_else(|| texts.next_back()).map(|text| shortened(&text, MOST)).unwrap_or_default()
}

/// Returns `deployments.apps "nginx" is managed by ManagedResource default/example`, in limited length.
pub(super) fn subject(case: &Case<'_>) -> String {
    let [_, shape, ..] = &SHAPES;
    subject_in(case, shape)
}

fn subject_in(case: &Case<'_>, shape: &Shape) -> String {
    let request = case.request;
    let group = if request.group.is_empty() { String::new() } else { format!(".{}", request.group) };
    let resource = shortened(&format!("{}{group}", request.resource), shape.name);
    let name = shortened(case.object.name(), shape.name);
    let owner = shortened(&case.owner.key.to_string(), shape.owner);
    format!("{resource} {name:?} is managed by ManagedResource {owner}")
}

fn written(case: &Case<'_>, tone: Tone, shape: &Shape, pause: &str) -> String {
    let owner = case.owner;
    let mut text = subject_in(case, shape);
    let secrets = secrets(case, shape);
    let again = when(case.repair);
    let hint = match &case.offence {
        Offence::Change(changes) => {
            let _ = write!(text, ": {}", what_changes(changes, &secrets, case, tone, shape));
            if is_debugging(case) { debugging(case, shape) } else { "Change the Secret".to_owned() }
        }
        Offence::Deletion => {
            let _ = match tone {
                Tone::Accepted => write!(text, " and will be created again {again}"),
                Tone::Refused | Tone::PutBack { .. } => write!(text, " and would be created again"),
            };
            format!("Remove it from {secrets}")
        }
        Offence::Creation => {
            let _ = write!(text, ", which creates it from {secrets}");
            if tone == Tone::Accepted {
                let _ = write!(text, " and will put it right {again}");
            }
            "Change the Secret".to_owned()
        }
    };
    match tone {
        Tone::PutBack { keeps_some: false } => text.push_str("; nothing was changed"),
        Tone::PutBack { keeps_some: true } => text.push_str("; the rest was kept"),
        Tone::Refused | Tone::Accepted => {}
    }
    let ask = owner_contact(owner.owner_contact.as_deref(), shape.owner.min(CONTACT))
        .map(|contact| format!(" (ask {contact})"))
        .unwrap_or_default();
    let _ = write!(text, ". {hint}{ask}, or {pause}");
    text
}

/// Lists the fields for the audit log.
pub(super) fn paths(offence: &Offence) -> String {
    match offence {
        Offence::Change(changes) => {
            let all: Vec<&Path> = changes.all().collect();
            path_list(all.into_iter(), AUDITED.0, AUDITED.1)
        }
        Offence::Deletion => "(deletion)".to_owned(),
        Offence::Creation => "(creation)".to_owned(),
    }
}

/// Whether the request adds an ephemeral container, as `kubectl debug` does.
fn is_debugging(case: &Case<'_>) -> bool {
    case.request.subresource == "ephemeralcontainers"
}

/// Proposes to debug a copy. A copy of a Pod does not get our marks by default. No Secret can declare a debugger.
fn debugging(case: &Case<'_>, shape: &Shape) -> String {
    let (name, namespace) = (case.object.name(), case.object.namespace());
    if shape.paths == 0 || name.len().max(namespace.len()) > shape.name {
        return "Debug a copy of it (kubectl debug --copy-to)".to_owned();
    }
    let [name, namespace] = [name, namespace].map(|text| shell::word(text));
    format!("Debug a copy of it with: kubectl debug {name} -n {namespace} -it --image=IMAGE --copy-to=COPY")
}

fn when(repair: Repair) -> &'static str {
    match repair {
        Repair::Watch => "at once",
        Repair::Resync => "at the next sync",
    }
}

/// Describes each group of fields and its fate. Lists at most as many fields as the shape allows.
fn what_changes(changes: &Changes, secrets: &str, case: &Case<'_>, tone: Tone, shape: &Shape) -> String {
    let mut rest = shape.paths;
    let mut parts = Vec::new();
    for (paths, why, undone) in [
        (&changes.declared, format!("declared in {secrets}"), "reset"),
        (&changes.undeclared, format!("not declared in {secrets}"), "removed"),
        (&changes.reserved, "reserved for Holdfast".to_owned(), "reset"),
    ] {
        if !paths.is_empty() {
            let list = path_list(paths.iter(), rest, shape.name);
            rest = rest.saturating_sub(paths.len());
            let (is, was) = if paths.len() == 1 { ("is", "was") } else { ("are", "were") };
            let fate = match tone {
                // A Pod never loses an ephemeral container.
                Tone::Refused | Tone::Accepted if is_debugging(case) => "cannot be removed again".to_owned(),
                Tone::Refused => format!("would be {undone}"),
                Tone::Accepted => format!("will be {undone} {}", when(case.repair)),
                Tone::PutBack { .. } => format!("{was} put back"),
            };
            parts.push(format!("{list} {is} {why} and {fate}"));
        }
    }
    parts.join("; ")
}

/// Returns `a`, `a and b`, or `a, b and 2 more fields`. Lists at most `named` paths.
fn path_list<'a>(paths: impl ExactSizeIterator<Item = &'a Path>, named: usize, most: usize) -> String {
    let total = paths.len();
    let mut parts: Vec<String> = paths.take(named).map(|path| shortened(&path.to_string(), most)).collect();
    let noun = if parts.is_empty() { "field" } else { "more field" };
    match total - parts.len() {
        0 => {}
        1 => parts.push(format!("1 {noun}")),
        rest => parts.push(format!("{rest} {noun}s")),
    }
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}

/// Names the Secret that declares the object, or all Secrets if the inventory does not record it.
fn secrets(case: &Case<'_>, shape: &Shape) -> String {
    let owner = case.owner;
    if !shape.has_secrets {
        return "its Secrets".to_owned();
    }
    let full = |name: &str| format!("{}/{}", owner.key.namespace, shortened(name, shape.name));
    if let Some(secret) = owner.secret_of(&case.object) {
        return format!("Secret {}", full(secret));
    }
    match owner.secrets.as_slice() {
        [] => "its Secrets".to_owned(),
        [one] => format!("Secret {}", full(one)),
        [one, two] => format!("Secret {} or {}", full(one), full(two)),
        [one, two, rest @ ..] => format!("Secret {}, {} or {} more", full(one), full(two), rest.len()),
    }
}

/// Returns the owner's contact in one line.
fn owner_contact(text: Option<&str>, most: usize) -> Option<String> {
    let words: Vec<&str> =
        text?.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    (!words.is_empty()).then(|| shortened(&words.join(" "), most))
}

/// Cuts a text to at most `most` bytes.
fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", text::start(text, most.saturating_sub('…'.len_utf8())))
}

#[cfg(test)]
mod tests;
