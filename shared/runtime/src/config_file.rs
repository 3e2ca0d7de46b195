//! The configuration file of the Go original, read against a table of what a program of ours makes of it.
//!
//! A value in the file becomes the default of a flag, so that flag and environment go before it. What is wrong with a value
//! is said with the path of its key, all of it at once; what has no effect is said once a key.

mod address;
mod kind;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

pub use kind::Kind;

/// What the file has to say of itself.
pub const API_VERSION: &str = "resourcemanager.config.gardener.cloud/v1alpha1";
/// As [`API_VERSION`].
pub const KIND: &str = "ResourceManagerConfiguration";

/// Spellings of a part of a path that mean another one: the original's example file and documentation write the first, its
/// code reads the second.
const SPELLINGS: &[(&str, &str)] = &[("managedResources", "managedResource")];

/// What becomes of a key.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// The default of this flag.
    Flag(&'static str, Kind),
    /// If false, this word is added to the default of this flag, a list.
    Off(&'static str, &'static str),
    /// A section with `bindAddress` and `port`; this flag takes both, and this port counts where none is given.
    Address(&'static str, u16),
    /// Has to be right, and changes nothing.
    Checked(Kind),
    /// The original has it and this program does not: why.
    Ignored(&'static str),
    /// Another program of ours reads it.
    OtherProgram,
}

/// A key of the file, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Such as `controllers.managedResource.syncPeriod`; a section stands for all that is in it.
    pub path: &'static str,
    /// What becomes of it.
    pub meaning: Meaning,
}

/// What a file comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Defaults by the name of the flag, without dashes.
    pub defaults: BTreeMap<&'static str, String>,
    /// Keys without effect, a line each.
    pub warnings: Vec<String>,
}

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its key.
    pub path: String,
    /// Why not.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.reason)
    }
}

/// Reads a file against a table. Of two rows with the same flag, the later counts.
///
/// # Errors
/// All values that cannot be used, in the order of their keys.
pub fn read(file: &Value, rows: &[Row]) -> Result<Settings, Vec<Fault>> {
    let mut reader = Reader { rows, found: BTreeMap::new(), settings: Settings::default(), faults: vec![] };
    match file {
        Value::Object(top) => {
            reader.header(top, "apiVersion", API_VERSION);
            reader.header(top, "kind", KIND);
            let rest = top.iter().filter(|(key, _)| !["apiVersion", "kind"].contains(&key.as_str()));
            for (key, value) in rest {
                reader.key(&Path::default().join(key), value);
            }
        }
        other => reader.fault("the file", format!("must be a mapping, not {}", kind::described(other))),
    }
    reader.finish()
}

/// A path as it is written, and as the table has it.
#[derive(Clone, Default)]
struct Path {
    written: String,
    meant: String,
}

impl Path {
    fn join(&self, key: &str) -> Self {
        let spelling = SPELLINGS.iter().find(|(written, _)| *written == key);
        let meant = spelling.map_or(key, |(_, meant)| meant);
        let dot = if self.written.is_empty() { "" } else { "." };
        Self { written: format!("{}{dot}{key}", self.written), meant: format!("{}{dot}{meant}", self.meant) }
    }
}

struct Reader<'a> {
    rows: &'a [Row],
    /// By position of the row: path as written, and value as text.
    found: BTreeMap<usize, (String, String)>,
    settings: Settings,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, path: &str, reason: impl Into<String>) {
        self.faults.push(Fault { path: path.to_owned(), reason: reason.into() });
    }

    fn header(&mut self, top: &Map<String, Value>, key: &str, expected: &str) {
        match top.get(key) {
            Some(Value::String(found)) if found == expected => {}
            Some(found) => self.fault(key, format!("is {found}, expected {expected:?}")),
            None => self.fault(key, format!("is missing, expected {expected:?}")),
        }
    }

    fn key(&mut self, path: &Path, value: &Value) {
        if value.is_null() {
            return;
        }
        let row = self.rows.iter().position(|row| row.path == path.meant);
        if let Some((position, row)) = row.and_then(|position| Some((position, self.rows.get(position)?))) {
            return self.row(position, row.meaning, path, value);
        }
        let inner = format!("{}.", path.meant);
        if !self.rows.iter().any(|row| row.path.starts_with(&inner)) {
            let warning = format!("{} is not known and has no effect; is it misspelt?", path.written);
            self.settings.warnings.push(warning);
            return;
        }
        self.section(path, value, |_| true);
    }

    fn section(&mut self, path: &Path, value: &Value, is_to_be_read: impl Fn(&str) -> bool) {
        let Value::Object(section) = value else {
            return self.fault(&path.written, format!("must be a mapping, not {}", kind::described(value)));
        };
        for (key, value) in section.iter().filter(|(key, _)| is_to_be_read(key)) {
            self.key(&path.join(key), value);
        }
    }

    fn row(&mut self, position: usize, meaning: Meaning, path: &Path, value: &Value) {
        let text = match meaning {
            Meaning::OtherProgram => return,
            Meaning::Ignored(why) => {
                return self.settings.warnings.push(format!("{} has no effect: {why}", path.written));
            }
            Meaning::Flag(_, kind) | Meaning::Checked(kind) => kind.text(value),
            Meaning::Off(..) => Kind::Switch.text(value),
            Meaning::Address(_, port) => {
                self.section(path, value, |key| !address::KEYS.contains(&key));
                match address::text(value, port) {
                    Ok(text) => Ok(Some(text)),
                    Err((key, reason)) => return self.fault(&path.join(key).written, reason),
                }
            }
        };
        match text {
            Ok(None) => {}
            Ok(Some(text)) => {
                if let Some((other, _)) = self.found.insert(position, (path.written.clone(), text)) {
                    self.fault(&path.written, format!("is also given as {other}"));
                }
            }
            Err(reason) => self.fault(&path.written, reason),
        }
    }

    fn finish(mut self) -> Result<Settings, Vec<Fault>> {
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        for (position, (_, text)) in self.found {
            match self.rows.get(position).map(|row| row.meaning) {
                Some(Meaning::Flag(flag, _) | Meaning::Address(flag, _)) => {
                    self.settings.defaults.insert(flag, text);
                }
                Some(Meaning::Off(flag, word)) if text == "false" => {
                    let list = self.settings.defaults.entry(flag).or_default();
                    *list = if list.is_empty() { word.to_owned() } else { format!("{list},{word}") };
                }
                _ => {}
            }
        }
        Ok(self.settings)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROWS: &[Row] = &[
        Row { path: "a.first", meaning: Meaning::Flag("rate", Kind::Rate) },
        Row { path: "a.second", meaning: Meaning::Flag("rate", Kind::Rate) },
        Row { path: "a.old", meaning: Meaning::Ignored("nobody wants it") },
        Row { path: "a.lock", meaning: Meaning::Checked(Kind::Word(&["leases"])) },
        Row { path: "c.managedResource.syncPeriod", meaning: Meaning::Flag("period", Kind::Duration) },
        Row { path: "c.managedResource.enabled", meaning: Meaning::Off("disabled", "managedresource") },
        Row { path: "c.other.enabled", meaning: Meaning::Off("disabled", "other") },
        Row { path: "server", meaning: Meaning::Address("address", 8081) },
        Row { path: "theirs", meaning: Meaning::OtherProgram },
    ];

    fn check(rest: Value) -> Result<Settings, Vec<String>> {
        let mut file = json!({"apiVersion": API_VERSION, "kind": KIND});
        if let (Value::Object(file), Value::Object(rest)) = (&mut file, rest) {
            file.extend(rest);
        }
        super::read(&file, ROWS).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    fn defaults(rest: Value) -> Vec<(&'static str, String)> {
        check(rest).unwrap().defaults.into_iter().collect()
    }

    #[test]
    fn values_become_defaults_of_flags() {
        assert_eq!(defaults(json!({})), []);
        assert_eq!(defaults(json!({"a": null, "c": {"managedResource": {"syncPeriod": null}}})), []);
        let period = vec![("period", "1m30s".to_owned())];
        assert_eq!(defaults(json!({"c": {"managedResource": {"syncPeriod": "1m30s"}}})), period);
        assert_eq!(defaults(json!({"c": {"managedResources": {"syncPeriod": "1m30s"}}})), period, "both spellings");
        assert_eq!(defaults(json!({"a": {"second": 7, "first": 5}})), [("rate", "7".to_owned())], "the later row");
        assert_eq!(defaults(json!({"a": {"lock": "leases"}, "theirs": 5})), []);
        assert_eq!(defaults(json!({"server": {"port": 1}})), [("address", ":1".to_owned())]);
    }

    #[test]
    fn switches_that_are_off_make_a_list() {
        let off = json!({"enabled": false});
        let both = json!({"c": {"managedResource": off, "other": off}});
        assert_eq!(defaults(both), [("disabled", "managedresource,other".to_owned())]);
        assert_eq!(defaults(json!({"c": {"other": {"enabled": true}}})), []);
    }

    #[test]
    fn what_has_no_effect_is_said_once_with_its_path() {
        let settings = check(json!({
            "a": {"old": {"x": 1, "y": 2}, "frist": 1}, "b": {"x": 1, "y": 2}, "server": {"prot": 7},
        }))
        .unwrap();
        assert_eq!(
            settings.warnings,
            [
                "a.frist is not known and has no effect; is it misspelt?",
                "a.old has no effect: nobody wants it",
                "b is not known and has no effect; is it misspelt?",
                "server.prot is not known and has no effect; is it misspelt?",
            ]
        );
    }

    #[test]
    fn all_faults_are_named_with_their_paths() {
        let faults = check(json!({
            "a": {"first": "many", "lock": "configmaps"}, "c": 5, "server": {"port": 70000},
        }))
        .unwrap_err();
        assert_eq!(
            faults,
            [
                "a.first: must be a number, not \"many\"",
                "a.lock: is \"configmaps\", expected leases",
                "c: must be a mapping, not 5",
                "server.port: must be a port from 0 to 65535, not 70000",
            ]
        );
        let twice = json!({"c": {"managedResource": {"syncPeriod": "1m"}, "managedResources": {"syncPeriod": "1m"}}});
        assert_eq!(
            check(twice).unwrap_err(),
            ["c.managedResources.syncPeriod: is also given as c.managedResource.syncPeriod"]
        );
        assert_eq!(
            super::read(&json!({"kind": "Pod"}), ROWS).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "apiVersion: is missing, expected \"resourcemanager.config.gardener.cloud/v1alpha1\"",
                "kind: is \"Pod\", expected \"ResourceManagerConfiguration\"",
            ]
        );
        assert_eq!(
            super::read(&json!([]), ROWS).unwrap_err()[0].to_string(),
            "the file: must be a mapping, not a list"
        );
    }
}
