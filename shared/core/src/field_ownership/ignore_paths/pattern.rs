//! Paths as users write them: JSON pointers with `*` and with elements of lists by their key.

use serde_json::{Map, Value};

use crate::names;

/// One step of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// A field of a map.
    Field(String),
    /// Every field of a map, every element of a list.
    Any,
    /// Elements of a list whose key has these fields.
    Element(Vec<(String, String)>),
}

impl Segment {
    /// Whether a name in `fieldsV1` is meant, inside an element with this key.
    pub(super) fn means(&self, name: &str, key: &Map<String, Value>) -> bool {
        let Some((kind, rest)) = name.split_once(':') else { return false };
        match self {
            // Without the fields that tell it from others an element is none.
            _ if kind == "f" && key.contains_key(rest) => false,
            Self::Field(field) => kind == "f" && rest == field,
            Self::Any => matches!(kind, "f" | "k" | "v" | "i"),
            Self::Element(wanted) => {
                kind == "k" && {
                    let key = key_of(name);
                    wanted.iter().all(|(field, text)| key.get(field).is_some_and(|value| is_text(value, text)))
                }
            }
        }
    }
}

/// The fields by which the element of a keyed list is found, by its name in `fieldsV1`; none for anything else.
pub(super) fn key_of(name: &str) -> Map<String, Value> {
    name.strip_prefix("k:").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

fn is_text(value: &Value, text: &str) -> bool {
    let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    written == text
}

/// Reads a pattern.
///
/// # Errors
/// It is no pointer, or means what is never left to others; the text says which.
pub(super) fn parse(pointer: &str) -> Result<Vec<Segment>, String> {
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err("it is no JSON pointer, which begins with \"/\"".to_owned());
    };
    let mut segments = Vec::new();
    for part in rest.split('/') {
        let part = unescape(part)?;
        let Some((field, condition)) = part.split_once('[') else {
            segments.push(if part == "*" { Segment::Any } else { Segment::Field(part) });
            continue;
        };
        let condition = condition.strip_suffix(']').filter(|text| !field.is_empty() && !text.contains(['[', ']']));
        let condition = condition.ok_or_else(|| format!("{part:?} is not like containers[name=app]"))?;
        segments.push(if field == "*" { Segment::Any } else { Segment::Field(field.to_owned()) });
        segments.push(if condition == "*" { Segment::Any } else { element(condition)? });
    }
    match reserved(&segments) {
        Some(why) => Err(why.to_owned()),
        None => Ok(segments),
    }
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

/// Why a pattern cannot be: what holds an object together is nobody else's.
fn reserved(segments: &[Segment]) -> Option<&'static str> {
    let field = |position: usize| match segments.get(position) {
        Some(Segment::Field(field)) => Some(field.as_str()),
        _ => None,
    };
    match (field(0), field(1), field(2)) {
        (None, ..) => Some("it begins with the name of a field"),
        (Some("apiVersion" | "kind"), ..) => Some("apiVersion and kind say what an object is"),
        (Some("metadata"), Some("labels" | "annotations"), Some(key)) if key.starts_with(names::RESERVED_PREFIX) => {
            Some("these labels and annotations are reserved for Holdfast")
        }
        (Some("metadata"), Some("labels" | "annotations"), Some(_)) => None,
        (Some("metadata"), ..) => Some("of metadata only single labels and annotations can be left to others"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(name: &str) -> Segment {
        Segment::Field(name.to_owned())
    }

    #[test]
    fn patterns_are_pointers_with_more() {
        let element = |field: &str, value: &str| Segment::Element(vec![(field.to_owned(), value.to_owned())]);
        for (pointer, expected) in [
            ("/spec", vec![field("spec")]),
            ("/data/a~1b~0c", vec![field("data"), field("a/b~c")]),
            ("/spec/*/x", vec![field("spec"), Segment::Any, field("x")]),
            ("/c[name=app]/image", vec![field("c"), element("name", "app"), field("image")]),
            ("/c[*]/image", vec![field("c"), Segment::Any, field("image")]),
            ("/c[name=a~1b]", vec![field("c"), element("name", "a/b")]),
            ("/metadata/labels/team", vec![field("metadata"), field("labels"), field("team")]),
        ] {
            assert_eq!(parse(pointer), Ok(expected), "{pointer}");
        }
        for (pointer, part) in [
            ("", "no JSON pointer"),
            ("spec/replicas", "no JSON pointer"),
            ("/", "empty"),
            ("/spec//x", "empty"),
            ("/spec/", "empty"),
            ("/a~b", "~0"),
            ("/a~", "~0"),
            ("/c[name]", "[name=app]"),
            ("/c[name=a", "containers[name=app]"),
            ("/[name=a]", "containers[name=app]"),
            ("/c[a=b][c=d]", "containers[name=app]"),
            ("/*", "name of a field"),
            ("/kind", "apiVersion"),
            ("/metadata", "single labels"),
            ("/metadata/labels", "single labels"),
            ("/metadata/labels/*", "single labels"),
            ("/metadata/finalizers", "single labels"),
            ("/metadata/annotations/resources.gardener.cloud~1origin", "reserved"),
        ] {
            let error = parse(pointer).unwrap_err();
            assert!(error.contains(part), "{pointer}: {error}");
        }
    }

    #[test]
    fn elements_are_meant_by_their_key() {
        let none = Map::new();
        let element = |text: &str| parse(&format!("/p[{text}]")).unwrap().remove(1);
        let port = r#"k:{"containerPort":80,"protocol":"TCP"}"#;
        for (segment, name, expected) in [
            (element("containerPort=80"), port, true),
            (element("containerPort=80,protocol=TCP"), port, true),
            (element("containerPort=81"), port, false),
            (element("name=http"), port, false),
            (Segment::Any, port, true),
            (Segment::Any, "v:\"x\"", true),
            (Segment::Any, ".", false),
            (field("x"), "f:x", true),
            (field("x"), port, false),
        ] {
            assert_eq!(segment.means(name, &none), expected, "{segment:?} {name}");
        }
        let key = json!({"containerPort": 80}).as_object().unwrap().clone();
        assert!(!Segment::Any.means("f:containerPort", &key) && Segment::Any.means("f:hostPort", &key));
    }
}
