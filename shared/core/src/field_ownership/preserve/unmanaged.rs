//! What is left alone of one object, in its manifest and in its `managedFields`.

use serde_json::{Map, Value, json};

use super::{Presence, Preserve, Row, Rule};
use crate::{field_ownership::ignore_paths::Ignored, field_set, names};

/// The fields of an object that are left alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Left<'a> {
    kind: &'a str,
    preserve: Preserve,
    manifest: Option<&'a Value>,
    ignored: Option<&'a Ignored>,
    is_settled: bool,
}

impl<'a> Left<'a> {
    /// Of any object of this kind with these rules.
    pub fn new(kind: &'a str, preserve: Preserve) -> Self {
        Self { kind, preserve, ..Self::default() }
    }

    /// And these.
    #[must_use]
    pub fn ignoring(self, ignored: &'a Ignored) -> Self {
        Self { ignored: Some(ignored).filter(|ignored| !ignored.is_none()), ..self }
    }

    /// The manifest was applied before as it is, so of what is ignored and not there others have removed it.
    #[must_use]
    pub fn settled(self, is_settled: bool) -> Self {
        Self { is_settled, ..self }
    }

    /// Of lists only in the elements that the manifest has: a container that it drops is to go with all that is in it.
    #[must_use]
    pub fn of(self, manifest: &'a Value) -> Self {
        Self { manifest: Some(manifest), ..self }
    }

    /// Whether a rule is on.
    pub(crate) fn has(&self, rule: Rule) -> bool {
        self.preserve.contains(rule)
    }

    fn rows(&self) -> impl Iterator<Item = &'static Row> + use<'a> {
        self.preserve.rows(self.kind)
    }

    /// Removes what is left alone from a set of fields; returns it.
    pub(crate) fn take(&self, set: &mut Map<String, Value>) -> Map<String, Value> {
        let mut all = Value::Object(Map::new());
        for (_, _, path, _) in self.rows() {
            let taken = field_set::take(set, path, self.manifest);
            field_set::merge(&mut all, &Value::Object(taken));
        }
        if let Some(ignored) = self.ignored {
            field_set::merge(&mut all, &Value::Object(ignored.take(set, self.manifest)));
        }
        if let Value::Object(all) = all { all } else { Map::new() }
    }

    /// The `managedFields` after release, the inverse of adoption: what our Apply entry has of these fields belongs to
    /// [`names::RELEASED_MANAGER`], so that an apply without them leaves them as they are. `None` if it has none.
    pub fn released(&self, managed_fields: &[Value]) -> Option<Vec<Value>> {
        let mut entries = managed_fields.to_vec();
        let own = entries.iter_mut().find(|entry| field_set::is_own_apply(entry))?;
        let taken = Value::Object(self.take(own.get_mut("fieldsV1")?.as_object_mut()?));
        if taken == json!({}) {
            return None;
        }
        let (version, time) = (own["apiVersion"].clone(), own["time"].clone());
        let is_released = |entry: &&mut Value| {
            entry["manager"] == names::RELEASED_MANAGER
                && entry["operation"] == "Update"
                && entry["apiVersion"] == version
                && entry.get("subresource").and_then(Value::as_str).is_none_or(str::is_empty)
        };
        match entries.iter_mut().find(is_released).and_then(|entry| entry.get_mut("fieldsV1")) {
            Some(released) => field_set::merge(released, &taken),
            None => entries.push(json!({
                "manager": names::RELEASED_MANAGER,
                "operation": "Update",
                "apiVersion": version,
                "time": time,
                "fieldsType": "FieldsV1",
                "fieldsV1": taken,
            })),
        }
        Some(entries)
    }

    /// Whether the manifest declares any of these fields, or may.
    pub fn is_declared(&self) -> bool {
        let mut is_any = self.ignored.is_some();
        self.treat(|_, _| {
            is_any = true;
            What::Keep
        });
        is_any
    }

    /// The manifest without these fields. `managed_fields` tell which of them are ignored.
    pub fn stripped(&self, managed_fields: &[Value]) -> Value {
        let manifest = self.treat(|_, _| What::Remove);
        self.without_ignored(manifest, managed_fields, true)
    }

    fn without_ignored(&self, mut manifest: Value, managed_fields: &[Value], is_in_lists: bool) -> Value {
        if let Some(ignored) = self.ignored {
            ignored.strip(&mut manifest, managed_fields, self.is_settled, is_in_lists);
        }
        manifest
    }

    /// What a digest is made of: what is left alone does not count, but that a field is declared which may not be there yet.
    pub fn skeleton(&self) -> Value {
        self.treat(|presence, _| if presence == Presence::OfObject { What::Remove } else { What::Null })
    }

    /// The manifest without those of these fields that the live object has, as far as its `managedFields` tell. Without any
    /// nobody knows (somebody cleared them), and nothing is touched.
    pub fn missing(&self, managed_fields: &[Value]) -> Value {
        let manifest = self.treat(|presence, chain| {
            let is_there =
                presence == Presence::OfObject || managed_fields.is_empty() || is_owned(managed_fields, chain);
            if is_there { What::Remove } else { What::Keep }
        });
        self.without_ignored(manifest, managed_fields, true)
    }

    /// The same for a merge patch, which takes lists as they are.
    pub fn missing_in_maps(&self, managed_fields: &[Value]) -> Value {
        let manifest = self.treat(|presence, chain| {
            let is_in_list = chain.iter().any(|name| name.starts_with("k:"));
            let is_there = presence == Presence::OfObject || is_owned(managed_fields, chain);
            if is_there && !is_in_list { What::Remove } else { What::Keep }
        });
        self.without_ignored(manifest, managed_fields, false)
    }

    /// The manifest, with each of these fields that it declares treated as `decide` says.
    fn treat(&self, mut decide: impl FnMut(Presence, &[String]) -> What) -> Value {
        let mut manifest = self.manifest.cloned().unwrap_or_default();
        for (_, _, path, presence) in self.rows() {
            strip(&mut manifest, path, &mut Vec::new(), &mut |chain| decide(*presence, chain));
        }
        manifest
    }
}

/// What becomes of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Keep,
    Remove,
    Null,
}

/// Treats what lies at a path of an object, and removes maps that are empty because of it. `chain` collects the path as
/// `fieldsV1` writes it.
fn strip(value: &mut Value, path: &[&str], chain: &mut Vec<String>, visit: &mut dyn FnMut(&[String]) -> What) {
    let Some((first, rest)) = path.split_first() else { return };
    match value {
        Value::Array(items) if *first == "*" => {
            for item in items {
                let Some(name) = item.get("name").and_then(Value::as_str) else { continue };
                chain.push(format!("k:{}", json!({ "name": name })));
                strip(item, rest, chain, visit);
                chain.pop();
            }
        }
        Value::Object(map) => {
            let Some(inner) = map.get_mut(*first).filter(|inner| !inner.is_null()) else { return };
            chain.push(format!("f:{first}"));
            if rest.is_empty() {
                match visit(chain) {
                    What::Keep => {}
                    What::Null => *inner = Value::Null,
                    What::Remove => drop(map.remove(*first)),
                }
            } else {
                let was_empty = is_empty(inner);
                strip(inner, rest, chain, visit);
                if !was_empty && is_empty(inner) {
                    map.remove(*first);
                }
            }
            chain.pop();
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// Whether anybody owns exactly this field.
fn is_owned(managed_fields: &[Value], chain: &[String]) -> bool {
    let owns = |set: &Value| chain.iter().try_fold(set, |set, name| set.get(name)).is_some();
    managed_fields.iter().any(|entry| owns(&entry["fieldsV1"]))
}
