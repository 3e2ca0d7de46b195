//! Objects as the texts of their fields: the text is scanned once, and cut into the fields at the top, those of `metadata`,
//! and those of each entry of `metadata.managedFields`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

/// Most fields of a map; more than the API server ever writes. Each is compared with all before it.
pub(super) const MOST: usize = 64;
/// Initial capacity for the fields of a map: enough for nearly all.
const USUAL: usize = 12;

pub(super) type Field<'a> = (Cow<'a, str>, &'a RawValue);

/// An object as the texts of its fields.
#[derive(Debug, Default)]
pub(super) struct RawObject<'a> {
    /// All fields but `metadata`.
    pub(super) fields: Vec<Field<'a>>,
    pub(super) metadata: Option<Metadata<'a>>,
}

#[derive(Debug, Default)]
pub(super) struct Metadata<'a> {
    /// All but `managedFields`.
    pub(super) fields: Vec<Field<'a>>,
    pub(super) managed_fields: Option<Vec<Entry<'a>>>,
}

#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    /// All but `fieldsV1`.
    pub(super) fields: Vec<Field<'a>>,
    pub(super) owned: Option<Fields<'a>>,
}

/// The fields of a map.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(pub(super) Vec<Field<'a>>);

/// A key; borrowed unless it has escapes.
#[derive(Deserialize)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A map of texts, with one field that may be parsed further.
trait Parts<'a>: Default {
    /// Parses the value if the field is that one.
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

/// Parses a value if `is_it`, at most once.
fn take_once<'a, T, M>(target: &mut Option<T>, is_it: bool, map: &mut M) -> Result<bool, M::Error>
where
    T: Deserialize<'a>,
    M: MapAccess<'a>,
{
    if is_it && target.replace(map.next_value()?).is_some() {
        return Err(duplicate_field());
    }
    Ok(is_it)
}

/// The API server sends no such object. It is read as a whole then, and the later field counts.
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
            if fields.iter().any(|(former, _)| *former == key) {
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
