//! Objects of which only those parts are read that differ.
//!
//! Most of a large object is the same before and after an edit, and most of what it costs to judge one would be to make values
//! of that. So the text is gone over once and cut into the fields at the top, those of `metadata`, and those of each entry of
//! `metadata.managedFields`. Content that is the same on both sides to the byte is then left out on both, with what
//! `managedFields` says of it. No decision is about it: edits are judged by what they change.
//!
//! What is left of an edit of metadata alone needs nobody else's entries, so those that are the same on both sides go, too.
//!
//! An exception is tampering with our own entry, which is text by fields that it loses while they stay as they are. So what our
//! entry says of a field has to be the same, too.

use std::borrow::Cow;
use std::fmt;

use holdfast_core::names;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Fields at the top that are always read.
const NEEDED: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Most fields that one of these maps may have; more than the API server ever writes. Each is compared with all before it.
const MOST: usize = 64;
/// So many fields have room before a list of them grows: enough for nearly all.
const USUAL: usize = 12;

type Field<'a> = (Cow<'a, str>, &'a RawValue);

/// An object, cut into pieces of text.
#[derive(Debug, Default)]
pub(super) struct RawObject<'a> {
    /// All fields but `metadata`.
    fields: Vec<Field<'a>>,
    metadata: Option<Metadata<'a>>,
}

#[derive(Debug, Default)]
struct Metadata<'a> {
    /// All but `managedFields`.
    fields: Vec<Field<'a>>,
    managed_fields: Option<Vec<Entry<'a>>>,
}

#[derive(Debug, Default)]
struct Entry<'a> {
    /// All but `fieldsV1`.
    fields: Vec<Field<'a>>,
    owned: Option<Fields<'a>>,
}

/// The fields of a map.
#[derive(Debug, Default)]
struct Fields<'a>(Vec<Field<'a>>);

/// A key that is not copied where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// What to make of a map: of one field perhaps something else, of the others text.
trait Parts<'a>: Default {
    /// Takes the value of the field that is something else.
    fn take<M: MapAccess<'a>>(&mut self, key: &str, map: &mut M) -> Result<bool, M::Error>;

    /// All other fields.
    fn fields(&mut self) -> &mut Vec<Field<'a>>;
}

impl<'a> Parts<'a> for RawObject<'a> {
    fn take<M: MapAccess<'a>>(&mut self, key: &str, map: &mut M) -> Result<bool, M::Error> {
        take_once(&mut self.metadata, key == "metadata", map)
    }

    fn fields(&mut self) -> &mut Vec<Field<'a>> {
        &mut self.fields
    }
}

impl<'a> Parts<'a> for Metadata<'a> {
    fn take<M: MapAccess<'a>>(&mut self, key: &str, map: &mut M) -> Result<bool, M::Error> {
        take_once(&mut self.managed_fields, key == "managedFields", map)
    }

    fn fields(&mut self) -> &mut Vec<Field<'a>> {
        &mut self.fields
    }
}

impl<'a> Parts<'a> for Entry<'a> {
    fn take<M: MapAccess<'a>>(&mut self, key: &str, map: &mut M) -> Result<bool, M::Error> {
        take_once(&mut self.owned, key == "fieldsV1", map)
    }

    fn fields(&mut self) -> &mut Vec<Field<'a>> {
        &mut self.fields
    }
}

impl<'a> Parts<'a> for Fields<'a> {
    fn take<M: MapAccess<'a>>(&mut self, _: &str, _: &mut M) -> Result<bool, M::Error> {
        Ok(false)
    }

    fn fields(&mut self) -> &mut Vec<Field<'a>> {
        &mut self.0
    }
}

/// Takes a value if it is the one, which it is once.
fn take_once<'a, T, M>(place: &mut Option<T>, is_it: bool, map: &mut M) -> Result<bool, M::Error>
where
    T: Deserialize<'a>,
    M: MapAccess<'a>,
{
    if is_it && place.replace(map.next_value()?).is_some() {
        return Err(duplicate_field());
    }
    Ok(is_it)
}

/// Of two, the later one would count; nobody sends that.
fn duplicate_field<E: de::Error>() -> E {
    E::custom("a field stands twice")
}

/// Reads a map field by field.
struct PartsVisitor<T>(std::marker::PhantomData<T>);

impl<'a, T: Parts<'a>> Visitor<'a> for PartsVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<T, M::Error> {
        let mut whole = T::default();
        whole.fields().reserve(USUAL);
        while let Some(Key(key)) = map.next_key()? {
            if whole.take(&key, &mut map)? {
                continue;
            }
            let fields = whole.fields();
            if fields.iter().any(|(known, _)| *known == key) {
                return Err(duplicate_field());
            }
            if fields.len() == MOST {
                return Err(de::Error::custom("there are too many fields"));
            }
            fields.push((key, map.next_value()?));
        }
        Ok(whole)
    }
}

macro_rules! parts_from_maps {
    ($($name:ident),*) => {$(
        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map(PartsVisitor::<$name<'de>>(std::marker::PhantomData))
            }
        }
    )*};
}

parts_from_maps!(RawObject, Metadata, Entry, Fields);

fn find<'a>(fields: &[Field<'a>], name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.get())
}

/// All of them, to be compared.
fn texts<'f>(fields: &'f [Field<'_>]) -> impl Iterator<Item = (&'f str, &'f str)> {
    fields.iter().map(|(key, value)| (key.as_ref(), value.get()))
}

fn values(fields: &[Field<'_>], wanted: impl Fn(&str) -> bool) -> Result<Map<String, Value>, serde_json::Error> {
    let mut map = Map::new();
    for (key, value) in fields.iter().filter(|(key, _)| wanted(key)) {
        map.insert(key.clone().into_owned(), serde_json::from_str(value.get())?);
    }
    Ok(map)
}

impl<'a> RawObject<'a> {
    fn entries(&self) -> &[Entry<'a>] {
        let metadata = self.metadata.as_ref();
        metadata.and_then(|metadata| metadata.managed_fields.as_deref()).unwrap_or_default()
    }

    /// Names of the fields at the top that may be left out.
    fn content(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_ref()).filter(|name| !NEEDED.contains(name))
    }

    /// Whether both have the same content in a field at the top, and our own entries say the same of it.
    fn agrees(&self, other: &Self, name: &str) -> bool {
        let owned = format!("f:{name}");
        find(&self.fields, name) == find(&other.fields, name) && self.own(&owned).eq(other.own(&owned))
    }

    /// What entries of ours say of a field at the top, by its name in `fieldsV1`.
    fn own(&self, name: &str) -> impl Iterator<Item = [Option<&'a str>; 3]> {
        self.entries().iter().filter(|entry| entry.is_own()).map(move |entry| {
            let text = |name| find(&entry.fields, name);
            [text("operation"), text("subresource"), entry.owned.as_ref().and_then(|owned| find(&owned.0, name))]
        })
    }

    /// Less the fields and entries that are left out.
    fn value(&self, fields: &[&str], entries: &[Entry<'_>]) -> Result<Value, serde_json::Error> {
        let mut object = values(&self.fields, |name| !fields.contains(&name))?;
        if let Some(metadata) = &self.metadata {
            object.insert("metadata".to_owned(), metadata.value(fields, entries)?);
        }
        Ok(Value::Object(object))
    }
}

impl Metadata<'_> {
    fn value(&self, fields: &[&str], omitted: &[Entry<'_>]) -> Result<Value, serde_json::Error> {
        let mut metadata = values(&self.fields, |_| true)?;
        if let Some(entries) = &self.managed_fields {
            let is_omitted =
                |entry: &Entry<'_>| !entry.is_ours() && omitted.iter().any(|other| entry.is_same_as(other));
            let entries = entries.iter().filter(|entry| !is_omitted(entry)).map(|entry| entry.value(fields));
            let entries = entries.collect::<Result<Vec<_>, _>>()?;
            metadata.insert("managedFields".to_owned(), Value::Array(entries));
        }
        Ok(Value::Object(metadata))
    }
}

impl Entry<'_> {
    /// Whether both are the same text.
    fn is_same_as(&self, other: &Self) -> bool {
        let [one, others] = [self, other].map(|entry| entry.owned.iter().flat_map(|owned| texts(&owned.0)));
        texts(&self.fields).eq(texts(&other.fields)) && one.eq(others)
    }

    /// Whether it is in a name of ours.
    fn is_ours(&self) -> bool {
        self.manager().is_none_or(|manager| manager.starts_with(names::FIELD_MANAGER))
    }

    fn manager(&self) -> Option<Cow<'_, str>> {
        find(&self.fields, "manager").and_then(|manager| serde_json::from_str(manager).ok()).map(|Key(manager)| manager)
    }

    /// Whether it is in the name of our field manager, in whichever operation.
    fn is_own(&self) -> bool {
        self.manager().is_some_and(|manager| manager == names::FIELD_MANAGER)
    }

    fn value(&self, omitted: &[&str]) -> Result<Value, serde_json::Error> {
        let mut entry = values(&self.fields, |_| true)?;
        if let Some(owned) = &self.owned {
            let is_wanted = |name: &str| !name.strip_prefix("f:").is_some_and(|name| omitted.contains(&name));
            entry.insert("fieldsV1".to_owned(), Value::Object(values(&owned.0, is_wanted)?));
        }
        Ok(Value::Object(entry))
    }
}

/// Both states of an object, without the content that is the same in both.
pub(super) fn changed_parts(
    old: Option<&RawObject<'_>>,
    new: Option<&RawObject<'_>>,
) -> Result<(Option<Value>, Option<Value>), serde_json::Error> {
    let (Some(old), Some(new)) = (old, new) else {
        let read = |object: Option<&RawObject<'_>>| object.map(|object| object.value(&[], &[])).transpose();
        return Ok((read(old)?, read(new)?));
    };
    let is_same = |name: &&str| old.agrees(new, name);
    let same: Vec<&str> = old.content().filter(is_same).collect();
    // Where no content changes, nobody asks who else owns it.
    let is_all = old.content().count() == same.len() && new.content().count() == same.len();
    let (of_old, of_new) = if is_all { (old.entries(), new.entries()) } else { (&[][..], &[][..]) };
    Ok((Some(old.value(&same, of_new)?), Some(new.value(&same, of_old)?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Request;
    use super::*;

    fn changed_parts(old: &str, new: &str) -> (Option<Value>, Option<Value>) {
        let body = format!(
            r#"{{"request": {{"uid": "u", "kind": {{"version": "v1", "kind": "K"}}, "resource": {{"version": "v1",
            "resource": "ks"}}, "operation": "UPDATE", "object": {new}, "oldObject": {old}}}}}"#
        );
        let request = Request::read_changes(body.as_bytes()).unwrap();
        (request.old_object, request.object)
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn content_that_is_the_same_is_left_out() {
        let old = r#"{"kind": "K", "metadata": {"name": "a"}, "data": {"a": "b"}, "spec": 1}"#;
        let new = r#"{"kind": "K", "metadata": {"name": "a"}, "data": {"a": "b"}, "spec": 2}"#;
        let changed = |spec: u8| Some(json!({"kind": "K", "metadata": {"name": "a"}, "spec": spec}));
        assert_eq!(changed_parts(old, new), (changed(1), changed(2)));
    }

    #[test]
    fn maps_that_nobody_sends_are_read_as_a_whole() {
        let many: Vec<String> = (0..=MOST).map(|number| format!(r#""f{number}": 0"#)).collect();
        let many = format!("{{{}}}", many.join(", "));
        let data = |text: &str| format!(r#"{{"metadata": {text}, "data": 1}}"#);
        for unusual in [
            r#"{"data": 1, "data": 2}"#.to_owned(),
            r#"{"metadata": {}, "data": 1, "metadata": {"name": "a"}}"#.to_owned(),
            data(r#"{"managedFields": [], "managedFields": null}"#),
            data(r#"{"name": "a", "n\u0061me": "b"}"#),
            data(r#"{"managedFields": [{"manager": "a", "fieldsV1": {"f:a": {}, "f:a": 1}}]}"#),
            data(&many),
            many,
        ] {
            assert_eq!(
                changed_parts(&unusual, &unusual),
                (Some(parsed(&unusual)), Some(parsed(&unusual))),
                "{unusual}"
            );
        }
    }
}
