//! The fields of one object that Holdfast does not manage, in its manifest and in its `managedFields`.

use serde_json::{Map, Value, json};

use crate::{
    field_ownership::{
        ignore_paths::IgnorePaths,
        preserve::{Presence, Preserve, Row, Rule},
    },
    field_set::{self, Found, Owners, Treatment, Walk, merge, take, union},
    names,
};

/// The fields of an object that are not managed.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnmanagedFields<'a> {
    kind: &'a str,
    preserve: Preserve,
    manifest: Option<&'a Value>,
    ignored: Option<&'a IgnorePaths>,
    is_settled: bool,
}

impl<'a> UnmanagedFields<'a> {
    /// Of any object of this kind with these rules.
    pub fn new(kind: &'a str, preserve: Preserve) -> Self {
        Self { kind, preserve, ..Self::default() }
    }

    /// And these.
    #[must_use]
    pub fn ignoring(self, ignored: &'a IgnorePaths) -> Self {
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

    /// Removes these fields from a set of fields; returns them.
    pub(crate) fn take(&self, set: &mut Map<String, Value>) -> Value {
        let mut all = Value::Object(Map::new());
        for row in self.rows() {
            merge(&mut all, &Value::Object(take(set, &row.pattern, self.manifest)));
        }
        if let Some(ignored) = self.ignored {
            merge(&mut all, &ignored.take(set, self.manifest));
        }
        all
    }

    /// The `managedFields` after release, the inverse of adoption: what our Apply entry has of these fields belongs to
    /// [`names::RELEASED_MANAGER`], so that an apply without them leaves them as they are. `None` if it has none.
    pub fn released(&self, managed_fields: &[Value]) -> Option<Vec<Value>> {
        let mut entries = managed_fields.to_vec();
        let own = entries.iter_mut().find(|entry| field_set::is_own_apply(entry))?;
        let taken = self.take(own.get_mut("fieldsV1")?.as_object_mut()?);
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
            Some(released) => merge(released, &taken),
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
        self.treat(Owners::Unknown, |_, _| {
            is_any = true;
            Treatment::Keep
        });
        is_any
    }

    /// The manifest without these fields. `managed_fields` tell which of them are ignored.
    pub fn stripped(&self, managed_fields: &[Value]) -> Value {
        let manifest = self.treat(Owners::Unknown, |_, _| Treatment::Remove);
        self.without_ignored(manifest, managed_fields, true)
    }

    fn without_ignored(&self, mut manifest: Value, managed_fields: &[Value], is_in_lists: bool) -> Value {
        if let Some(ignored) = self.ignored {
            ignored.strip(&mut manifest, managed_fields, self.is_settled, is_in_lists);
        }
        manifest
    }

    /// What a digest is made of: these fields do not count, but that a field is declared which may not be there yet.
    pub fn skeleton(&self) -> Value {
        let treat = |presence, _: &Found<'_>| match presence {
            Presence::OfObject => Treatment::Remove,
            Presence::OfOwners => Treatment::Null,
        };
        self.treat(Owners::Unknown, treat)
    }

    /// The manifest without those of these fields that the live object has, as far as its `managedFields` tell. Without any
    /// nobody knows (somebody cleared them), and nothing is touched.
    pub fn missing(&self, managed_fields: &[Value]) -> Value {
        let owned = union(managed_fields);
        let owners = if managed_fields.is_empty() { Owners::Unknown } else { Owners::Known(Some(&owned)) };
        let manifest = self.treat(owners, |presence, found| {
            let is_there = presence == Presence::OfObject || found.owners.is_owned() != Some(false);
            if is_there { Treatment::Remove } else { Treatment::Keep }
        });
        self.without_ignored(manifest, managed_fields, true)
    }

    /// The same for a merge patch, which takes lists as they are.
    pub fn missing_in_maps(&self, managed_fields: &[Value]) -> Value {
        let owned = union(managed_fields);
        let manifest = self.treat(Owners::Known(Some(&owned)), |presence, found| {
            let is_there = presence == Presence::OfObject || found.owners.is_owned() == Some(true);
            if is_there && !found.is_in_list { Treatment::Remove } else { Treatment::Keep }
        });
        self.without_ignored(manifest, managed_fields, false)
    }

    /// The manifest, with each of these fields that it declares treated as `decide` says.
    fn treat(&self, owners: Owners<'_>, mut decide: impl FnMut(Presence, &Found<'_>) -> Treatment) -> Value {
        let mut manifest = self.manifest.cloned().unwrap_or_default();
        for row in self.rows() {
            let treat = |found: &Found<'_>| {
                if found.value.is_null() { Treatment::Keep } else { decide(row.presence, found) }
            };
            Walk::of_manifest(treat).to(&row.pattern, &mut manifest, owners);
        }
        manifest
    }
}
