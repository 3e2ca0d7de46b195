//! Random edits of the content of objects, as people and controllers make them: by merge patch, JSON patch, strategic merge
//! patch, and apply as another manager. What comes out follows from a seed.
//!
//! What a list is (elements with a key, members of a set, or a whole) is told by the fields that managers own, as the server
//! writes them down; so an edit by an element's key is one that the server understands.

use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// How an edit is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
    /// Kubernetes' own; not for custom resources.
    Strategic,
    /// By another manager, by force.
    Apply,
}

impl Form {
    /// The content type of the request.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// An edit: the body of a PATCH.
#[derive(Clone, Debug)]
pub struct Edit {
    /// How it is sent.
    pub form: Form,
    /// What is sent.
    pub body: Value,
}

/// Top-level fields that are no content.
pub const NO_CONTENT: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// What of an object edits of content are about.
pub fn content(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| !NO_CONTENT.contains(&name.as_str()));
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// A random edit of an object. `more` are whole fields that its kind knows besides those it has: defaults said out loud, and
/// others, as `(pointer, value)`.
pub fn edit(object: &Value, more: &[(&str, Value)], is_custom: bool, dice: &mut Dice) -> Edit {
    let forms: &[Form] = if is_custom {
        &[Form::Merge, Form::Json, Form::Apply]
    } else {
        &[Form::Merge, Form::Json, Form::Strategic, Form::Apply]
    };
    match dice.of(forms).copied().unwrap_or(Form::Json) {
        Form::Json => Edit { form: Form::Json, body: json_patch(object, more, dice) },
        Form::Merge => Edit { form: Form::Merge, body: merge_patch(object, more, dice, true) },
        Form::Strategic => Edit { form: Form::Strategic, body: merge_patch(object, more, dice, false) },
        Form::Apply => {
            let mut body = without_nulls(&merge_patch(object, more, dice, false));
            body["apiVersion"] = object["apiVersion"].clone();
            body["kind"] = object["kind"].clone();
            body["metadata"] = json!({"name": object["metadata"]["name"]});
            Edit { form: Form::Apply, body }
        }
    }
}

/// JSON pointers of everything in a value, parents before children.
pub fn pointers(value: &Value) -> Vec<String> {
    let mut all = Vec::new();
    add_pointers(value, "", &mut all);
    all
}

fn add_pointers(value: &Value, prefix: &str, all: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, child)| (escaped(name), child)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect(),
        _ => return,
    };
    for (name, child) in children {
        let pointer = format!("{prefix}/{name}");
        all.push(pointer.clone());
        add_pointers(child, &pointer, all);
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Another value of the same type, that the server may accept.
fn another(value: &Value, dice: &mut Dice) -> Value {
    match value {
        Value::Number(number) => (number.as_i64().unwrap_or_default() + 1).into(),
        Value::Bool(flag) => (!flag).into(),
        Value::String(text) => format!("{text}1").into(),
        Value::Array(items) if items.len() > 1 && dice.throw(2) == 0 => items.iter().rev().cloned().collect(),
        Value::Array(items) => {
            let mut items = items.clone();
            match items.last().cloned() {
                Some(last) if dice.throw(2) == 0 => items.push(renamed(&last)),
                Some(_) => drop(items.pop()),
                None => items.push(json!("x")),
            }
            Value::Array(items)
        }
        Value::Object(fields) => {
            let mut fields = fields.clone();
            fields.insert("added".to_owned(), json!("x"));
            Value::Object(fields)
        }
        Value::Null => json!("x"),
    }
}

/// An element with another key.
fn renamed(element: &Value) -> Value {
    match element {
        Value::Object(fields) => {
            let mut fields = fields.clone();
            for key in ["name", "port", "containerPort", "mountPath", "host", "part"] {
                if let Some(value) = fields.get_mut(key) {
                    *value = match &*value {
                        Value::Number(number) => (number.as_i64().unwrap_or_default() + 1000).into(),
                        Value::String(text) => format!("{text}x").into(),
                        other => other.clone(),
                    };
                }
            }
            Value::Object(fields)
        }
        Value::String(text) => format!("{text}x").into(),
        other => other.clone(),
    }
}

/// One to three operations.
fn json_patch(object: &Value, more: &[(&str, Value)], dice: &mut Dice) -> Value {
    let all = pointers(&content(object));
    let mut operations = Vec::new();
    for _ in 0..=dice.throw(3) {
        if let (Some((place, value)), 0) = (dice.of(more), dice.throw(4)) {
            if object.pointer(place.rsplit_once('/').map_or("", |(parent, _)| parent)).is_some() {
                operations.push(json!({"op": "add", "path": place, "value": value}));
            }
            continue;
        }
        let Some(mut place) = dice.of(&all).cloned() else { continue };
        // Lists are few, and there is more to be got wrong about them.
        let lists: Vec<&String> =
            all.iter().filter(|place| object.pointer(place).is_some_and(Value::is_array)).collect();
        if let (Some(list), 0) = (dice.of(&lists), dice.throw(3)) {
            place.clone_from(list);
        }
        let found = object.pointer(&place).cloned().unwrap_or_default();
        operations.push(match dice.throw(3) {
            0 => json!({"op": "remove", "path": place}),
            _ => json!({"op": "replace", "path": place, "value": another(&found, dice)}),
        });
    }
    Value::Array(operations)
}

/// A path down to one value, and another value there; `is_whole` says that lists are sent as a whole.
fn merge_patch(object: &Value, more: &[(&str, Value)], dice: &mut Dice, is_whole: bool) -> Value {
    let mut patch = json!({});
    for _ in 0..=dice.throw(2) {
        if let (Some((place, value)), 0) = (dice.of(more), dice.throw(3)) {
            put(&mut patch, place, value.clone());
            continue;
        }
        merge_into(&mut patch, &descend(&content(object), dice, is_whole));
    }
    patch
}

fn descend(value: &Value, dice: &mut Dice, is_whole: bool) -> Value {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let names: Vec<&String> = fields.keys().collect();
            let Some(name) = dice.of(&names) else { return json!({}) };
            let child = &fields[name.as_str()];
            let part = match dice.throw(8) {
                0 if !child.is_array() => Value::Null,
                1 => return json!({"added": "x"}),
                _ => descend(child, dice, is_whole),
            };
            json!({ name.as_str(): part })
        }
        Value::Array(items) if !is_whole && items.iter().all(Value::is_object) && !items.is_empty() => {
            let Some(element) = dice.of(items) else { return json!([]) };
            if dice.throw(4) == 0 {
                return json!([renamed(element)]);
            }
            // Its key, whatever that is, and a change.
            let mut part = descend(element, dice, is_whole);
            for key in ["name", "port", "protocol", "containerPort", "mountPath"] {
                if let (Some(value), None) = (element.get(key), part.get(key)) {
                    part[key] = value.clone();
                }
            }
            json!([part])
        }
        other => another(other, dice),
    }
}

fn put(patch: &mut Value, pointer: &str, value: Value) {
    let steps: Vec<&str> = pointer.split('/').skip(1).collect();
    let whole = steps.iter().rev().fold(value, |inner, step| json!({ *step: inner }));
    merge_into(patch, &whole);
}

fn merge_into(patch: &mut Value, other: &Value) {
    match (patch, other) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge_into(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let retained = fields.iter().filter(|(_, child)| !child.is_null());
            Value::Object(retained.map(|(name, child)| (name.clone(), without_nulls(child))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
