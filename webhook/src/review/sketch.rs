//! Objects of which only those parts are read that differ.
//!
//! Most of a large object is the same before and after an edit, and most of what it costs to judge one would be to make values
//! of that. So the text is gone over once and cut into the fields at the top, those of `metadata`, and those of each entry of
//! `metadata.managedFields`. Content that is the same on both sides to the byte is then left out on both, with what
//! `managedFields` says of it. No decision is about it: edits are judged by what they change.
//!
//! What is left of an edit of metadata alone needs nobody else's entries, so those that are the same on both sides go, too.
//!
//! An exception is tampering with our own entry, which is told by fields that it loses while they stay as they are. So what our
//! entry says of a field has to be the same, too.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use holdfast_core::names;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Fields at the top that are always read.
const NEEDED: [&str; 3] = ["apiVersion", "kind", "metadata"];

type Field<'a> = (Cow<'a, str>, &'a RawValue);

/// An object, cut into pieces of text.
#[derive(Debug, Default)]
pub(super) struct Sketch<'a> {
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

/// What to make of a map: of one field something else, of the others text.
trait Cut<'a>: Default {
    /// Takes in a field.
    fn take<M: MapAccess<'a>>(&mut self, key: Cow<'a, str>, map: &mut M) -> Result<(), M::Error>;
}

impl<'a> Cut<'a> for Sketch<'a> {
    fn take<M: MapAccess<'a>>(&mut self, key: Cow<'a, str>, map: &mut M) -> Result<(), M::Error> {
        if key == "metadata" {
            self.metadata = Some(map.next_value()?);
        } else {
            self.fields.push((key, map.next_value()?));
        }
        Ok(())
    }
}

impl<'a> Cut<'a> for Metadata<'a> {
    fn take<M: MapAccess<'a>>(&mut self, key: Cow<'a, str>, map: &mut M) -> Result<(), M::Error> {
        if key == "managedFields" {
            self.managed_fields = Some(map.next_value()?);
        } else {
            self.fields.push((key, map.next_value()?));
        }
        Ok(())
    }
}

impl<'a> Cut<'a> for Entry<'a> {
    fn take<M: MapAccess<'a>>(&mut self, key: Cow<'a, str>, map: &mut M) -> Result<(), M::Error> {
        if key == "fieldsV1" {
            self.owned = Some(map.next_value()?);
        } else {
            self.fields.push((key, map.next_value()?));
        }
        Ok(())
    }
}

impl<'a> Cut<'a> for Fields<'a> {
    fn take<M: MapAccess<'a>>(&mut self, key: Cow<'a, str>, map: &mut M) -> Result<(), M::Error> {
        self.0.push((key, map.next_value()?));
        Ok(())
    }
}

/// Reads a map field by field.
struct Cutter<T>(std::marker::PhantomData<T>);

impl<'a, T: Cut<'a>> Visitor<'a> for Cutter<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<T, M::Error> {
        let (mut cut, mut known) = (T::default(), Vec::new());
        while let Some(Key(key)) = map.next_key()? {
            known.push(key.clone());
            cut.take(key, &mut map)?;
        }
        known.sort_unstable();
        // Of two, the later one would count; nobody sends that.
        if known.iter().zip(known.iter().skip(1)).any(|(one, next)| one == next) {
            return Err(de::Error::custom("a field stands twice"));
        }
        Ok(cut)
    }
}

macro_rules! cut_from_maps {
    ($($name:ident),*) => {$(
        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map(Cutter::<$name<'de>>(std::marker::PhantomData))
            }
        }
    )*};
}

cut_from_maps!(Sketch, Metadata, Entry, Fields);

fn find<'a>(fields: &[Field<'a>], name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.get())
}

/// All of them, to be compared.
fn texts<'f>(fields: &'f [Field<'_>]) -> impl Iterator<Item = (&'f str, &'f str)> {
    fields.iter().map(|(key, value)| (key.as_ref(), value.get()))
}

fn values(fields: &[Field<'_>], wanted: impl Fn(&str) -> bool) -> Result<Map<String, Value>, serde_json::Error> {
    let read = |(key, value): &Field<'_>| Ok((key.clone().into_owned(), serde_json::from_str(value.get())?));
    fields.iter().filter(|(key, _)| wanted(key)).map(read).collect()
}

impl<'a> Sketch<'a> {
    fn entries(&self) -> &[Entry<'a>] {
        let metadata = self.metadata.as_ref();
        metadata.and_then(|metadata| metadata.managed_fields.as_deref()).unwrap_or_default()
    }

    /// Whether both have the same content in a field at the top, and our own entries say the same of it.
    fn agrees(&self, other: &Self, name: &str) -> bool {
        find(&self.fields, name) == find(&other.fields, name) && self.own(name) == other.own(name)
    }

    /// What entries of ours say of a field at the top.
    fn own(&self, name: &str) -> Vec<(Option<&'a str>, Option<&'a str>, Option<&'a str>)> {
        let ours = self.entries().iter().filter(|entry| entry.is_own());
        let owned = |entry: &Entry<'a>| entry.owned.as_ref().and_then(|owned| find(&owned.0, &format!("f:{name}")));
        let told = |name, entry: &Entry<'a>| find(&entry.fields, name);
        ours.map(|entry| (told("operation", entry), told("subresource", entry), owned(entry))).collect()
    }

    /// Less the fields and entries that are left out.
    fn value(&self, fields: &BTreeSet<String>, entries: &[Entry<'_>]) -> Result<Value, serde_json::Error> {
        let mut object = values(&self.fields, |name| !fields.contains(name))?;
        if let Some(metadata) = &self.metadata {
            object.insert("metadata".to_owned(), metadata.value(fields, entries)?);
        }
        Ok(Value::Object(object))
    }
}

impl Metadata<'_> {
    fn value(&self, fields: &BTreeSet<String>, left_out: &[Entry<'_>]) -> Result<Value, serde_json::Error> {
        let mut metadata = values(&self.fields, |_| true)?;
        if let Some(entries) = &self.managed_fields {
            let is_left_out =
                |entry: &Entry<'_>| !entry.is_ours() && left_out.iter().any(|other| entry.is_same_as(other));
            let entries = entries.iter().filter(|entry| !is_left_out(entry)).map(|entry| entry.value(fields));
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
        find(&self.fields, "manager").and_then(|manager| serde_json::from_str(manager).ok())
    }

    /// Whether it is in the name of our field manager, in whichever operation.
    fn is_own(&self) -> bool {
        self.manager().is_some_and(|manager| manager == names::FIELD_MANAGER)
    }

    fn value(&self, left_out: &BTreeSet<String>) -> Result<Value, serde_json::Error> {
        let mut entry = values(&self.fields, |_| true)?;
        if let Some(owned) = &self.owned {
            let is_wanted = |name: &str| !name.strip_prefix("f:").is_some_and(|name| left_out.contains(name));
            entry.insert("fieldsV1".to_owned(), Value::Object(values(&owned.0, is_wanted)?));
        }
        Ok(Value::Object(entry))
    }
}

/// Both states of an object, without the content that is the same in both.
pub(super) fn differing(
    old: Option<&Sketch<'_>>,
    new: Option<&Sketch<'_>>,
) -> Result<(Option<Value>, Option<Value>), serde_json::Error> {
    let (Some(old), Some(new)) = (old, new) else {
        let read = |sketch: Option<&Sketch<'_>>| sketch.map(|sketch| sketch.value(&BTreeSet::new(), &[])).transpose();
        return Ok((read(old)?, read(new)?));
    };
    let content = |sketch: &Sketch<'_>| {
        let names = sketch.fields.iter().map(|(name, _)| name.clone().into_owned());
        names.filter(|name| !NEEDED.contains(&name.as_str())).collect::<BTreeSet<String>>()
    };
    let (before, after) = (content(old), content(new));
    let same: BTreeSet<String> = before.iter().filter(|name| old.agrees(new, name)).cloned().collect();
    // Where no content changes, nobody asks who else owns it.
    let is_all = same == before && same == after;
    let (of_old, of_new) = if is_all { (old.entries(), new.entries()) } else { (&[][..], &[][..]) };
    Ok((Some(old.value(&same, of_new)?), Some(new.value(&same, of_old)?)))
}
