//! Break-glass: pauses of a ManagedResource (`spec.protection.pauses`), until when and for which objects (`docs/design/pauses.md`).
//!
//! While a pause lasts, the webhook lets edits of its objects pass and the controller writes nothing to them but one label,
//! which says so to admission policies. What was changed meanwhile is put right when it ends.

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

/// How a pause of every object names its objects.
pub const ALL_OBJECTS: &str = "all objects";
/// Longest reason that is repeated to others, in characters.
const LONGEST_REASON: usize = 200;
/// The clock is looked at as often as this while a pause lasts: it may have been set.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Objects by group, kind, namespace and name; what is absent matches any.
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

    /// Whether everything that `other` matches is matched by this one.
    fn contains(&self, other: &Self) -> bool {
        let mut pairs = self.parts().into_iter().zip(other.parts());
        pairs.all(|(own, theirs)| own.is_none() || own == theirs)
    }
}

impl fmt::Display for Selection {
    /// As objects are written, with `*` for any: `ConfigMap default/a`, `Deployment.apps default/*`.
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

/// A pause that can be read.
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

    /// Its end.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether somebody says why.
    pub fn has_reason(&self) -> bool {
        !self.reason.is_empty()
    }

    /// Which objects: `ConfigMap default/a`, `all objects`.
    pub fn objects(&self) -> String {
        self.selection.to_string()
    }
}

impl fmt::Display for Entry {
    /// `ConfigMap default/a is paused until 2026-11-23T08:30:00Z (reason: an incident)`, and so on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.selection == Selection::default() { "are" } else { "is" };
        write!(f, "{} {verb} paused until {}", self.selection, time(self.until))?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " (reason: {})", self.reason) }
    }
}

/// One line, and not a long one.
fn reason(pause: &Pause) -> String {
    let text = pause.reason.as_deref().unwrap_or_default();
    // Notes of a condition are separated by semicolons.
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace(';', ",");
    match line.char_indices().nth(LONGEST_REASON) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

/// A time as it is shown: UTC, whole seconds.
pub fn time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The pauses of a ManagedResource that can be read, over or not. Others have no effect; [`warnings`] names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses(Box<[Entry]>);

impl Pauses {
    /// Those of a ManagedResource.
    pub fn of(mr: &ManagedResource) -> Self {
        Self(mr.pauses().iter().filter_map(Entry::of).collect())
    }

    /// Those that last.
    #[must_use]
    pub fn active(&self, now: Timestamp) -> Self {
        Self(self.0.iter().filter(|entry| entry.until > now).cloned().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// Whether any of them, over or not, is for this object.
    pub fn matches(&self, object: &ObjectKey) -> bool {
        self.0.iter().any(|entry| entry.selection.matches(object))
    }

    /// Of those that last and are for this object, the one that lasts longest.
    pub fn of_object(&self, object: &ObjectKey, now: Timestamp) -> Option<&Entry> {
        let active = self.0.iter().filter(|entry| entry.until > now && entry.selection.matches(object));
        active.max_by_key(|entry| entry.until)
    }

    /// How long to wait before the next of them may have ended: at most [`LONGEST_WAIT`], because clocks are set.
    pub fn next_look(&self, now: Timestamp) -> Option<Duration> {
        let next = self.0.iter().map(|entry| entry.until).filter(|until| *until > now).min()?;
        let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
        Some(wait.min(LONGEST_WAIT))
    }

    /// The objects of each.
    pub fn objects(&self) -> Vec<String> {
        self.0.iter().map(Entry::objects).collect()
    }

    /// What a condition says of them; nothing if there are none. `waiting` objects are not brought up to date, and `kept`
    /// ones not deleted, because of them.
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

/// Pauses that cannot be read, one text each.
pub fn warnings(mr: &ManagedResource) -> Vec<String> {
    let pauses = mr.pauses().iter().enumerate();
    let unreadable = pauses.filter(|(_, pause)| Entry::of(pause).is_none());
    unreadable.map(|(position, pause)| format!("{} (it has no effect)", unreadable_text(position, pause))).collect()
}

fn unreadable_text(position: usize, pause: &Pause) -> String {
    let shown: String = pause.until.chars().take(40).collect();
    format!("spec.protection.pauses[{position}].until: {shown:?} is no time such as 2026-11-23T08:30:00Z")
}

/// Whether the protection label of an object, by its `managedFields`, says `off` because of a pause.
pub fn has_label(managed_fields: &[Value]) -> bool {
    managed_fields.iter().any(is_label_entry)
}

/// Whether an entry of `managedFields` is the one that a pause leaves.
pub(crate) fn is_label_entry(entry: &Value) -> bool {
    entry["manager"] == names::PAUSE_MANAGER
}

/// The JSON patch that makes an object say that nothing protects it, guarded by its uid. No apply: that would take back the
/// edit that the pause is for.
pub fn set_label(uid: &str) -> Value {
    let label = names::LABEL_PROTECTION.replace('/', "~1");
    json!([
        { "op": "replace", "path": "/metadata/uid", "value": uid },
        { "op": "add", "path": format!("/metadata/labels/{label}"), "value": Mode::Off.label() },
    ])
}

#[cfg(test)]
mod tests;
