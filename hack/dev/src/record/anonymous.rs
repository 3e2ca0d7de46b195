//! What differs from one recording to the next without a meaning is taken out, and what no decision looks at.
use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Stands for every time that has no meaning.
const TIME: &str = "2026-01-01T00:00:00Z";
/// Texts that begin so are different each time: cluster addresses of the testbed, names that the server made up.
const CHANCE: [(&str, &str); 2] = [("127.96.", "192.0.2.1"), ("kube-api-access-", "kube-api-access-xxxxx")];
/// Begins the name of an owner in `fieldsV1`.
const OWNER: &str = r#"k:{"uid":""#;
/// Fields that are left out wherever they are.
const OMITTED: [&str; 7] =
    ["extra", "selfLink", "state", "secretsDataChecksum", "conditions", "observedGeneration", "lastUpdateTime"];
/// Longest text on one line.
const WIDTH: usize = 118;

/// Gives the same things the same name throughout one file.
#[derive(Default)]
pub(super) struct Anonymous {
    uids: BTreeMap<String, String>,
    versions: BTreeMap<String, String>,
    /// Texts with a meaning, and what stands for them.
    stand_ins: BTreeMap<String, String>,
}

impl Anonymous {
    /// These texts are replaced by what stands for them.
    pub(super) fn keeping(stand_ins: BTreeMap<String, String>) -> Self {
        Self { stand_ins, ..Self::default() }
    }

    /// Rewrites a value in place.
    pub(super) fn rewrite(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => self.fields(fields),
            Value::Array(items) => items.iter_mut().for_each(|item| self.rewrite(item)),
            Value::String(text) => *text = self.text(text),
            _ => {}
        }
    }

    fn fields(&mut self, fields: &mut Map<String, Value>) {
        fields.retain(|name, _| !OMITTED.contains(&name.as_str()));
        unnumber(fields);
        let owners: Vec<String> = fields.keys().filter(|name| name.starts_with(OWNER)).cloned().collect();
        for name in owners {
            let uid = name.get(OWNER.len()..OWNER.len() + 36).map(|uid| self.text(uid)).unwrap_or_default();
            let value = fields.remove(&name).unwrap_or_default();
            fields.insert(format!("{OWNER}{uid}\"}}"), value);
        }
        for (name, value) in fields {
            match (name.as_str(), &*value) {
                ("resourceVersion", Value::String(version)) => {
                    let next = (self.versions.len() + 1).to_string();
                    *value = self.versions.entry(version.clone()).or_insert(next).clone().into();
                }
                ("nodePort", Value::Number(_)) => *value = 30001.into(),
                _ => self.rewrite(value),
            }
        }
    }

    fn text(&mut self, text: &str) -> String {
        if let Some(stand_in) = self.stand_ins.get(text) {
            return stand_in.clone();
        }
        if is_uid(text) {
            let next = format!("00000000-0000-0000-0000-{:012}", self.uids.len() + 1);
            return self.uids.entry(text.to_owned()).or_insert(next).clone();
        }
        if let Some((_, stand_in)) = CHANCE.iter().find(|(begin, _)| text.starts_with(begin)) {
            return (*stand_in).to_owned();
        }
        if is_time(text) && !text.starts_with("2999") { TIME.to_owned() } else { text.to_owned() }
    }
}

/// A name that the server made up.
fn unnumber(fields: &mut Map<String, Value>) {
    if let Some(prefix) = fields.get("generateName").and_then(Value::as_str) {
        let name = format!("{prefix}xxxxx");
        fields.insert("name".to_owned(), name.into());
    }
}

fn is_uid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes.ends_with(b"Z") && bytes.get(4) == Some(&b'-') && bytes.get(10) == Some(&b'T')
}

/// JSON that a person can read and compare: what fits a line stands on one.
pub(super) fn print(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, 0, &mut text);
    text.push('\n');
    text
}

fn write(value: &Value, indent: usize, before: usize, text: &mut String) {
    let flat = value.to_string();
    let (open, close, parts): (char, char, Vec<(Option<&String>, &Value)>) = match value {
        Value::Object(fields) if before + flat.len() > WIDTH => {
            ('{', '}', fields.iter().map(|(name, child)| (Some(name), child)).collect())
        }
        Value::Array(items) if before + flat.len() > WIDTH => {
            ('[', ']', items.iter().map(|item| (None, item)).collect())
        }
        _ => return text.push_str(&flat),
    };
    let margin = " ".repeat(indent + 1);
    text.push(open);
    for (at, (name, child)) in parts.into_iter().enumerate() {
        text.push_str(if at == 0 { "\n" } else { ",\n" });
        text.push_str(&margin);
        let name = name.map(|name| format!("{}: ", Value::from(name.as_str()))).unwrap_or_default();
        text.push_str(&name);
        write(child, indent + 1, indent + 1 + name.len(), text);
    }
    text.push('\n');
    text.push_str(&" ".repeat(indent));
    text.push(close);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_things_keep_the_same_name() {
        let (one, two) = ("0f4a6c1e-0000-4000-8000-00000000aaaa", "0f4a6c1e-0000-4000-8000-00000000bbbb");
        let mut value = json!({"uid": one, "owner": {"uid": two}, "again": one, "resourceVersion": "77", "time": "2026-11-02T03:04:05Z",
            "list": [{"resourceVersion": "78"}, {"resourceVersion": "77"}], "until": "2999-01-01T00:00:00Z", "extra": {"a": 1}});
        Anonymous::default().rewrite(&mut value);
        let uid = |number| format!("00000000-0000-0000-0000-00000000000{number}");
        assert_eq!(value["again"], value["uid"]);
        assert_eq!(
            (&value["list"][1], &value["until"]),
            (&json!({"resourceVersion": "2"}), &json!("2999-01-01T00:00:00Z"))
        );
        assert_eq!((value["time"].as_str(), value.get("extra")), (Some(TIME), None));
        assert!([uid(1), uid(2)].contains(&value["owner"]["uid"].as_str().unwrap().to_owned()));
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        let value = json!({"a": ["x".repeat(100), {"b": "y".repeat(100)}], "c": {"d": 1}});
        let text = print(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.lines().any(|line| line.trim() == r#""c": {"d":1}"#), "{text}");
    }
}
