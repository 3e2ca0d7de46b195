//! Restores single fields of an object to earlier values.

use serde_json::{Map, Value};

use super::element::position;
use super::{Path, Step};

/// Returns the object with the value at `path` from `old`: set, replaced or removed. Everything beside it stays.
pub(crate) fn restored(object: Value, old: &Value, path: &Path) -> Value {
    at(Some(object), Some(old), &path.0).unwrap_or_default()
}

fn at(new: Option<Value>, old: Option<&Value>, steps: &[Step]) -> Option<Value> {
    let [new, old] = [new.filter(|value| !value.is_null()), old.filter(|value| !value.is_null()).cloned()];
    let Some((step, rest)) = steps.split_first() else { return old };
    match (step, new) {
        (Step::Field(name), new) => {
            let mut fields = match new {
                None => Map::new(),
                Some(Value::Object(fields)) => fields,
                Some(_) => return old,
            };
            let field = at(fields.remove(name), old.as_ref().and_then(|old| old.get(name)), rest);
            fields.extend(field.map(|field| (name.clone(), field)));
            (old.is_some() || !fields.is_empty()).then_some(Value::Object(fields))
        }
        (step, new) => {
            let mut items = match new {
                None => Vec::new(),
                Some(Value::Array(items)) => items,
                Some(_) => return old,
            };
            let before = old.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let (here, there) = (position(&items, step), position(before, step));
            let element = here.map(|at| items.remove(at));
            if let Some(element) = at(element, there.and_then(|at| before.get(at)), rest) {
                let place = here.unwrap_or_else(|| place(&items, before, step, there.unwrap_or_default()));
                items.insert(place.min(items.len()), element);
            }
            (old.is_some() || !items.is_empty()).then_some(Value::Array(items))
        }
    }
}

/// Returns the position for a missing element: directly after its nearest predecessor that still exists.
fn place(items: &[Value], before: &[Value], step: &Step, there: usize) -> usize {
    let names: Vec<String> = match step {
        Step::Key(text) => serde_json::from_str::<Map<String, Value>>(text)
            .unwrap_or_default()
            .into_iter()
            .map(|(name, _)| name)
            .collect(),
        _ => Vec::new(),
    };
    let is_same = |one: &Value, other: &Value| {
        if names.is_empty() { one == other } else { names.iter().all(|name| one.get(name) == other.get(name)) }
    };
    let mut predecessors = before.iter().take(there).rev();
    predecessors.find_map(|predecessor| items.iter().position(|item| is_same(item, predecessor))).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(text: &str) -> Step {
        Step::Key(text.to_owned())
    }

    #[test]
    fn fields_come_back_and_what_is_beside_them_stays() {
        let old = json!({"a": {"x": 1, "y": 2}, "list": [{"name": "a", "v": 1}, {"name": "b", "v": 1}, {"name": "c", "v": 1}], "set": ["x", "y"]});
        for (what, path, new, expected) in [
            ("changed", Path::of(&["a", "x"]), json!({"a": {"x": 7, "y": 7}}), json!({"a": {"x": 1, "y": 7}})),
            ("removed", Path::of(&["a", "x"]), json!({"a": {"y": 7}}), json!({"a": {"x": 1, "y": 7}})),
            ("removed with all around it", Path::of(&["a", "x"]), json!({}), json!({"a": {"x": 1}})),
            ("added", Path::of(&["a", "z"]), json!({"a": {"z": 1}}), json!({"a": {}})),
            ("added with a container", Path::of(&["b", "z"]), json!({"b": {"z": 1}}), json!({})),
            ("added beside", Path::of(&["b", "z"]), json!({"b": {"z": 1, "y": 1}}), json!({"b": {"y": 1}})),
            ("of another type", Path::of(&["a", "x"]), json!({"a": 5}), json!({"a": old["a"]})),
        ] {
            assert_eq!(restored(new, &old, &path), expected, "{what}");
        }
        let b = Path(vec![Step::Field("list".into()), key(r#"{"name":"b"}"#)]);
        let of = |names: &[&str]| json!({"list": names.iter().map(|name| json!({"name": name, "v": 1})).collect::<Vec<_>>()});
        for (new, expected) in [
            (&["a", "c"][..], &["a", "b", "c"][..]),
            (&["c"], &["b", "c"]),
            (&["c", "x", "a"], &["c", "x", "a", "b"]),
            (&["x", "b", "a"], &["x", "b", "a"]),
        ] {
            assert_eq!(restored(of(new), &old, &b), of(expected));
        }
        let value = b.field("v");
        let new = json!({"list": [{"name": "b", "v": 9, "w": 9}]});
        assert_eq!(restored(new, &old, &value), json!({"list": [{"name": "b", "v": 1, "w": 9}]}));
        let spy = Path(vec![Step::Field("list".into()), key(r#"{"name":"spy"}"#)]);
        assert_eq!(restored(of(&["a", "spy"]), &old, &spy), of(&["a"]));
        let member = Path(vec![Step::Field("set".into()), Step::Member(r#""x""#.into())]);
        assert_eq!(restored(json!({"set": ["z", "y"]}), &old, &member), json!({"set": ["x", "z", "y"]}));
    }
}
