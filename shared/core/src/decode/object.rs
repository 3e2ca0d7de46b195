//! Splits a document into objects, and checks that each can be applied.

use serde_json::{Map, Value};

use crate::key::Gvk;
use crate::object_name;

/// Longest key of a label or annotation: prefix, slash and name.
const LONGEST_KEY: usize = 253 + 1 + 63;

/// Returns the objects of a document: the document itself, or the items of a list. Each one is either fit to be applied
/// or the reason why it is not.
///
/// `remaining` is how many of `limit` objects are left. This function lowers it.
pub(super) fn manifests(value: Value, remaining: &mut usize, limit: usize) -> Vec<Result<Map<String, Value>, String>> {
    let mut found = Vec::new();
    collect(value, "", &mut Sink { found: &mut found, remaining, limit });
    found
}

struct Sink<'a> {
    found: &'a mut Vec<Result<Map<String, Value>, String>>,
    remaining: &'a mut usize,
    limit: usize,
}

impl Sink<'_> {
    /// Whether `count` more objects fit. If not, adds an error.
    fn allows(&mut self, count: usize) -> bool {
        let allowed = count <= *self.remaining;
        if !allowed {
            self.found.push(Err(format!("more than {} objects in this Secret", self.limit)));
        }
        allowed
    }

    fn add(&mut self, object: Result<Map<String, Value>, String>) {
        if self.allows(1) {
            *self.remaining -= 1;
            self.found.push(object);
        }
    }
}

/// `path` leads to the value within its document, such as `items[3]`. It is empty for the document itself.
fn collect(value: Value, path: &str, sink: &mut Sink<'_>) {
    let mut object = match value {
        Value::Object(object) => object,
        other => {
            let place = if path.is_empty() { "document" } else { path };
            return sink.add(Err(format!("{place} is {}, expected an object", with_article(&other))));
        }
    };
    match items(&mut object) {
        Ok(Some(items)) => {
            if sink.allows(items.len()) {
                let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
                for (index, item) in items.into_iter().enumerate() {
                    collect(item, &format!("{prefix}items[{index}]"), sink);
                }
            }
        }
        Ok(None) => sink.add(match check(&object) {
            Ok(()) => Ok(object),
            Err(reason) => Err(at(path, reason)),
        }),
        Err(reason) => sink.add(Err(at(path, reason))),
    }
}

fn at(path: &str, reason: String) -> String {
    if path.is_empty() { reason } else { format!("{path}: {reason}") }
}

/// Returns the items of a list (`v1 List`, `ConfigMapList`, …), and `None` for anything else.
fn items(object: &mut Map<String, Value>) -> Result<Option<Vec<Value>>, String> {
    let is = |field: &str, text: &str| object.get(field).and_then(Value::as_str) == Some(text);
    let plain_list = is("apiVersion", "v1") && is("kind", "List");
    let named = object.get("metadata").and_then(|metadata| metadata.get("name")).is_some();
    let kind_of_list = object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match object.get_mut("items") {
        Some(Value::Array(items)) if plain_list || kind_of_list && !named => Ok(Some(std::mem::take(items))),
        Some(Value::Null) if plain_list => Ok(Some(Vec::new())),
        Some(other) if plain_list => Err(format!("items is {}, expected a list", with_article(other))),
        None if plain_list => Err("items is missing".to_owned()),
        _ => Ok(None),
    }
}

fn check(object: &Map<String, Value>) -> Result<(), String> {
    let api_version = text(object, "", "apiVersion")?;
    let kind = text(object, "", "kind")?;
    let metadata = match object.get("metadata") {
        Some(Value::Object(metadata)) => metadata,
        None | Some(Value::Null) => return Err("metadata is missing".to_owned()),
        Some(other) => return Err(format!("metadata is {}, expected a map", with_article(other))),
    };
    if absent_or_empty(metadata.get("name")) && !absent_or_empty(metadata.get("generateName")) {
        return Err("metadata.generateName is not supported, set metadata.name".to_owned());
    }
    let name = text(metadata, "metadata.", "name")?;
    let (group, _) = Gvk::split(api_version);
    if let Some(refusal) = object_name::refusal(group, kind, name) {
        return Err(refusal);
    }
    match metadata.get("namespace") {
        None | Some(Value::Null) => {}
        // The API server treats an empty namespace as none.
        Some(Value::String(namespace)) if namespace.is_empty() => {}
        Some(Value::String(namespace)) => object_name::namespace_refusal(namespace).map_or(Ok(()), Err)?,
        Some(other) => return Err(format!("metadata.namespace is {}, expected a string", with_article(other))),
    }
    texts(metadata, "labels")?;
    texts(metadata, "annotations")
}

fn absent_or_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    }
}

/// Returns a required, non-empty string field.
fn text<'a>(map: &'a Map<String, Value>, prefix: &str, field: &str) -> Result<&'a str, String> {
    match map.get(field) {
        None | Some(Value::Null) => Err(format!("{prefix}{field} is missing")),
        Some(Value::String(text)) if text.is_empty() => Err(format!("{prefix}{field} is empty")),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("{prefix}{field} is {}, expected a string", with_article(other))),
    }
}

/// Checks an optional field of `metadata` that maps strings to strings.
fn texts(metadata: &Map<String, Value>, field: &str) -> Result<(), String> {
    let entries = match metadata.get(field) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(entries)) => entries,
        Some(other) => return Err(format!("metadata.{field} is {}, expected a map", with_article(other))),
    };
    let Some((key, value)) = entries.iter().find(|(_, value)| !value.is_string()) else { return Ok(()) };
    // Errors may name keys. But by a typo a value can stand where a key belongs, with nothing after it.
    let entry = if value.is_null() {
        "an entry".to_owned()
    } else if key.len() > LONGEST_KEY {
        format!("the value of a key of {} bytes", key.len())
    } else {
        format!("the value of {key:?}")
    };
    Err(format!("metadata.{field}: {entry} is {}, expected a string (quote it)", with_article(value)))
}

fn with_article(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
