//! Path patterns, which match names in `fieldsV1`.
//!
//! Users write JSON pointers with `*`, and select list elements by their key (`/spec/containers[name=app]/image`).
//! Holdfast's own tables are lists of fields, in which `*` matches any list element.

use serde_json::{Map, Value};

use super::{Path, Step};

/// A path with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Segment>);

/// One step of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// A field of a map.
    Field(String),
    /// Every field of a map and every element of a list.
    Any,
    /// List elements whose key has these fields. Without fields, every element.
    Element(Vec<(String, String)>),
}

impl Segment {
    /// Whether this segment matches a name in `fieldsV1`, inside an element with this key.
    pub(super) fn means(&self, name: &str, key: &Map<String, Value>) -> bool {
        let Some((kind, rest)) = name.split_once(':') else { return false };
        match self {
            // Key fields never match: an element cannot exist without the fields that identify it.
            _ if kind == "f" && key.contains_key(rest) => false,
            Self::Field(field) => kind == "f" && rest == field,
            Self::Any => matches!(kind, "f" | "k" | "v" | "i"),
            Self::Element(expected) => matches!(kind, "k" | "i") && has(&key_of(name), expected),
        }
    }

    /// Returns the matching names in a set of owned fields.
    pub(super) fn of_set(&self, set: &Map<String, Value>, key: &Map<String, Value>) -> Vec<String> {
        match self {
            Self::Field(field) => {
                let name = format!("f:{field}");
                if set.contains_key(&name) && self.means(&name, key) { vec![name] } else { Vec::new() }
            }
            _ => set.keys().filter(|name| self.means(name, key)).cloned().collect(),
        }
    }

    /// Returns the matching fields of an object's map, as names in `fieldsV1`.
    pub(super) fn of_map(&self, map: &Map<String, Value>, key: &Map<String, Value>) -> Vec<String> {
        let fields: Vec<&String> = match self {
            Self::Field(field) => map.get_key_value(field).map(|(field, _)| field).into_iter().collect(),
            _ => map.keys().collect(),
        };
        fields.into_iter().map(|field| format!("f:{field}")).filter(|name| self.means(name, key)).collect()
    }

    fn is_step(&self, step: &Step) -> bool {
        match (self, step) {
            (Self::Any, _) => true,
            (Self::Field(field), Step::Field(name)) => field == name,
            (Self::Element(expected), Step::Key(text)) => {
                has(&serde_json::from_str(text).unwrap_or_default(), expected)
            }
            (Self::Element(expected), Step::Member(_) | Step::Index(_)) => expected.is_empty(),
            (Self::Field(_), _) | (Self::Element(_), Step::Field(_)) => false,
        }
    }
}

/// Returns the key fields of a list element from its name in `fieldsV1`; empty for any other name.
pub(super) fn key_of(name: &str) -> Map<String, Value> {
    name.strip_prefix("k:").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

fn has(key: &Map<String, Value>, expected: &[(String, String)]) -> bool {
    let is_text = |value: &Value, text: &str| match value {
        Value::String(own) => own == text,
        // A key field is a string, a number or a boolean.
        other => other.to_string().as_str() == text,
    };
    expected.iter().all(|(field, text)| key.get(field).is_some_and(|value| is_text(value, text)))
}

impl Pattern {
    /// Creates a pattern of plain fields; `*` matches every element of a list.
    pub(crate) fn of(fields: &[&str]) -> Self {
        let segments = fields.iter().map(|field| match *field {
            "*" => Segment::Element(Vec::new()),
            field => Segment::Field(field.to_owned()),
        });
        Self(segments.collect())
    }

    /// Parses a pattern that a user wrote.
    ///
    /// # Errors
    /// The text is no JSON pointer; the error says why.
    pub(crate) fn parse(pointer: &str) -> Result<Self, String> {
        let Some(rest) = pointer.strip_prefix('/') else {
            return Err("it is no JSON pointer, which begins with \"/\"".to_owned());
        };
        let mut segments = Vec::new();
        for part in rest.split('/') {
            let part = unescape(part)?;
            let Some((field, condition)) = part.split_once('[') else {
                segments.push(field_or_any(&part));
                continue;
            };
            let condition = condition.strip_suffix(']').filter(|text| !field.is_empty() && !text.contains(['[', ']']));
            let condition = condition.ok_or_else(|| format!("{part:?} is not like containers[name=app]"))?;
            segments.push(field_or_any(field));
            segments.push(if condition == "*" { Segment::Any } else { element(condition)? });
        }
        Ok(Self(segments))
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Returns the field name at a position, from 0; `None` for a wildcard.
    pub(crate) fn field(&self, position: usize) -> Option<&str> {
        match self.0.get(position) {
            Some(Segment::Field(field)) => Some(field),
            _ => None,
        }
    }

    /// Whether the pattern matches a path, or one above it.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.0.len() <= path.0.len() && self.0.iter().zip(&path.0).all(|(segment, step)| segment.is_step(step))
    }
}

fn field_or_any(part: &str) -> Segment {
    if part == "*" { Segment::Any } else { Segment::Field(part.to_owned()) }
}

fn unescape(part: &str) -> Result<String, String> {
    if part.is_empty() {
        return Err("a part of it is empty".to_owned());
    }
    let escapes = part.split('~').skip(1);
    if escapes.into_iter().any(|rest| !rest.starts_with(['0', '1'])) {
        return Err("\"~\" is written as ~0, and \"/\" in a name as ~1".to_owned());
    }
    Ok(part.replace("~1", "/").replace("~0", "~"))
}

fn element(condition: &str) -> Result<Segment, String> {
    let fields = condition.split(',').map(|part| {
        let (field, value) = part.split_once('=').filter(|(field, _)| !field.is_empty())?;
        Some((field.to_owned(), value.to_owned()))
    });
    let fields: Option<Vec<_>> = fields.collect();
    fields.map(Segment::Element).ok_or_else(|| format!("[{condition}] is not like [name=app]"))
}

#[cfg(test)]
mod tests;
