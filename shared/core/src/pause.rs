//! Break-glass: the pauses of a ManagedResource (`spec.protection.pauses`), their ends and their objects
//! (`docs/design/pauses.md`).
//!
//! During a pause the webhook lets edits of its objects pass. The controller writes nothing to these objects but one
//! label, which tells admission policies about the pause. When the pause ends, the controller repairs all drift.

mod change;

use std::{fmt, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use crate::{
    api::{ManagedResource, Mode, Pause},
    key::ObjectKey,
    names,
};

pub use change::{PauseChange, change};

/// Name of the objects of a pause that selects every object.
pub const ALL_OBJECTS: &str = "all objects";
/// Longest reason that messages repeat, in characters.
const LONGEST_REASON: usize = 200;
/// Longest wait before the clock is read again during a pause. The clock may have been set meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A selection of objects. An absent part matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Selection {
    group: Option<Box<str>>,
    kind: Option<Box<str>>,
    namespace: Option<Box<str>>,
    name: Option<Box<str>>,
}

impl Selection {
    fn of(pause: &Pause) -> Self {
        let part = |text: &Option<String>| text.as_deref().map(Into::into);
        Self {
            group: part(&pause.group),
            kind: part(&pause.kind),
            namespace: part(&pause.namespace),
            name: part(&pause.name),
        }
    }

    fn parts(&self) -> [Option<&str>; 4] {
        [&self.group, &self.kind, &self.namespace, &self.name].map(Option::as_deref)
    }

    fn matches(&self, object: &ObjectKey) -> bool {
        let parts = [object.group(), object.kind(), object.namespace(), object.name()];
        let mut pairs = self.parts().into_iter().zip(parts);
        pairs.all(|(expected, found)| expected.is_none_or(|expected| expected == found))
    }

    /// Whether this selection includes every object that `other` selects.
    fn contains(&self, other: &Self) -> bool {
        let mut pairs = self.parts().into_iter().zip(other.parts());
        pairs.all(|(own, theirs)| own.is_none() || own == theirs)
    }
}

impl fmt::Display for Selection {
    /// Prints the selection like an object, with `*` for any: `ConfigMap default/a`, `Deployment.apps default/*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self == &Self::default() {
            return f.write_str(ALL_OBJECTS);
        }
        let [group, kind, namespace, name] = self.parts();
        f.write_str(kind.unwrap_or("*"))?;
        if let Some(group) = group.filter(|group| !group.is_empty()) {
            write!(f, ".{group}")?;
        }
        f.write_str(" ")?;
        match namespace {
            Some("") => {}
            namespace => write!(f, "{}/", namespace.unwrap_or("*"))?,
        }
        f.write_str(name.unwrap_or("*"))
    }
}

/// A readable pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    selection: Selection,
    until: Timestamp,
    reason: Box<str>,
}

impl Entry {
    fn of(pause: &Pause) -> Option<Self> {
        let until = pause.until.parse().ok()?;
        Some(Self { selection: Selection::of(pause), until, reason: reason(pause).into() })
    }

    /// Returns the end of the pause.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether the pause has a reason.
    pub fn has_reason(&self) -> bool {
        !self.reason.is_empty()
    }

    /// Names the objects: `ConfigMap default/a`, `all objects`.
    pub fn objects(&self) -> String {
        self.selection.to_string()
    }
}

impl fmt::Display for Entry {
    /// Prints, for example, `ConfigMap default/a is paused until 2026-11-23T08:30:00Z (reason: an incident)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.selection == Selection::default() { "are" } else { "is" };
        write!(f, "{} {verb} paused until {}", self.selection, time(self.until))?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " (reason: {})", self.reason) }
    }
}

/// Returns the reason as one short line.
fn reason(pause: &Pause) -> String {
    let text = pause.reason.as_deref().unwrap_or_default();
    // Semicolons separate the notes of a condition.
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace(';', ",");
    match line.char_indices().nth(LONGEST_REASON) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

/// Formats a time for people: UTC, whole seconds.
pub fn time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// All readable pauses of a ManagedResource, including those that are over. Unreadable pauses have no effect;
/// [`warnings`] names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses(Box<[Entry]>);

impl Pauses {
    /// Reads the pauses of a ManagedResource.
    pub fn of(mr: &ManagedResource) -> Self {
        Self(mr.pauses().iter().filter_map(Entry::of).collect())
    }

    /// Returns the pauses that are not over.
    #[must_use]
    pub fn active(&self, now: Timestamp) -> Self {
        Self(self.0.iter().filter(|entry| entry.until > now).cloned().collect())
    }

    /// Whether there are no pauses.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of pauses.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Iterates over the pauses.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// Whether any pause selects this object, including pauses that are over.
    pub fn matches(&self, object: &ObjectKey) -> bool {
        self.0.iter().any(|entry| entry.selection.matches(object))
    }

    /// Returns the active pause of this object. Of several, returns the one that ends last.
    pub fn of_object(&self, object: &ObjectKey, now: Timestamp) -> Option<&Entry> {
        let active = self.0.iter().filter(|entry| entry.until > now && entry.selection.matches(object));
        active.max_by_key(|entry| entry.until)
    }

    /// Returns how long to wait until the next pause may have ended. The wait is at most [`LONGEST_WAIT`], because
    /// clocks are set.
    pub fn next_look(&self, now: Timestamp) -> Option<Duration> {
        let next = self.0.iter().map(|entry| entry.until).filter(|until| *until > now).min()?;
        let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
        Some(wait.min(LONGEST_WAIT))
    }

    /// Names the objects of each pause.
    pub fn objects(&self) -> Vec<String> {
        self.0.iter().map(Entry::objects).collect()
    }

    /// Describes the pauses for a condition; empty if there are none. Because of them, `waiting` objects are not up to
    /// date, and `retained` objects are not deleted.
    pub fn texts(&self, waiting: usize, retained: usize) -> Vec<String> {
        let mut texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        let count = |count: usize| if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
        let (verb, stay) = (if waiting == 1 { "waits" } else { "wait" }, if retained == 1 { "stays" } else { "stay" });
        if !texts.is_empty() && waiting > 0 {
            texts.push(format!("{} {verb} for the end of the pause to be as their manifests say", count(waiting)));
        }
        if !texts.is_empty() && retained > 0 {
            texts.push(format!("{} that no manifest declares {stay} until the end of the pause", count(retained)));
        }
        texts
    }
}

/// Describes each unreadable pause.
pub fn warnings(mr: &ManagedResource) -> Vec<String> {
    let pauses = mr.pauses().iter().enumerate();
    let unreadable = pauses.filter(|(_, pause)| Entry::of(pause).is_none());
    unreadable.map(|(position, pause)| format!("{} (it has no effect)", unreadable_text(position, pause))).collect()
}

fn unreadable_text(position: usize, pause: &Pause) -> String {
    let shown: String = pause.until.chars().take(40).collect();
    format!("spec.protection.pauses[{position}].until: {shown:?} is no time such as 2026-11-23T08:30:00Z")
}

/// Whether a pause has set the protection label of an object to `off`. Its `managedFields` tell.
pub fn has_label(managed_fields: &[Value]) -> bool {
    managed_fields.iter().any(is_label_entry)
}

/// Whether an entry of `managedFields` comes from the label of a pause.
pub(crate) fn is_label_entry(entry: &Value) -> bool {
    entry["manager"] == names::PAUSE_MANAGER
}

/// Returns the JSON patch that sets the protection label to `off`, guarded by the object's uid. An apply would undo the
/// very edit that the pause is for.
pub fn set_label(uid: &str) -> Value {
    let label = names::LABEL_PROTECTION.replace('/', "~1");
    json!([
        { "op": "replace", "path": "/metadata/uid", "value": uid },
        { "op": "add", "path": format!("/metadata/labels/{label}"), "value": Mode::Off.label() },
    ])
}

/// The pauses of a ManagedResource that have ended, by the names of their objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndedPauses {
    /// Whether the status still reports one: what others changed meanwhile has not been repaired yet.
    pub is_any_reported: bool,
    /// Those to be announced: they have ended since the last look.
    pub news: Vec<String>,
}

/// Compares the `active` pauses with those that the status reports and with those of the last look. `seen` is `None` at
/// the first look since the start; the status then says what was active before.
pub fn ended(active: &[String], reported: Vec<String>, seen: Option<Vec<String>>) -> EndedPauses {
    let is_over = |objects: &String| !active.contains(objects);
    let is_any_reported = reported.iter().any(is_over);
    let mut news = seen.unwrap_or(reported);
    news.retain(is_over);
    EndedPauses { is_any_reported, news }
}

#[cfg(test)]
mod tests;
