//! Fields of one object that Holdfast does not manage, in its manifest and in its `managedFields`.

use serde_json::{Map, Value, json};

use crate::{
    field_ownership::{
        ignore_paths::IgnorePaths,
        preserve::{Presence, Preserve, Row, Rule},
    },
    field_set::{self, Found, Owners, Treatment, Walk, merge, take, union},
    names,
};

/// The unmanaged fields of an object.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnmanagedFields<'a> {
    kind: &'a str,
    preserve: Preserve,
    manifest: Option<&'a Value>,
    ignored: Option<&'a IgnorePaths>,
    is_settled: bool,
}

impl<'a> UnmanagedFields<'a> {
    /// The unmanaged fields of any object of this kind with these rules.
    pub fn new(kind: &'a str, preserve: Preserve) -> Self {
        Self { kind, preserve, ..Self::default() }
    }

    /// Adds ignored paths.
    #[must_use]
    pub fn ignoring(self, ignored: &'a IgnorePaths) -> Self {
        Self { ignored: Some(ignored).filter(|ignored| !ignored.is_none()), ..self }
    }

    /// Tells whether this manifest was applied before. If so, somebody removed the ignored fields that are missing.
    #[must_use]
    pub fn settled(self, is_settled: bool) -> Self {
        Self { is_settled, ..self }
    }

    /// Restricts lists to the elements in the manifest: a container that the manifest drops must go with everything in
    /// it.
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

    /// Removes these fields from a set, and returns them.
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

    /// Returns the `managedFields` after release, the inverse of adoption: these fields move from our Apply entry to
    /// [`names::RELEASED_MANAGER`]. An apply without them then leaves them as they are. Returns `None` if our entry has
    /// none of them.
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

    /// Whether the manifest declares, or may declare, any of these fields.
    pub fn is_declared(&self) -> bool {
        let mut is_any = self.ignored.is_some();
        self.treat(Owners::Unknown, |_, _| {
            is_any = true;
            Treatment::Keep
        });
        is_any
    }

    /// Returns the manifest without these fields. `managed_fields` tell which fields are ignored.
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

    /// Returns the input of the digest. The values of these fields do not count, but the presence of a declared field
    /// does if the live object may lack it.
    pub fn skeleton(&self) -> Value {
        let treat = |presence, _: &Found<'_>| match presence {
            Presence::OfObject => Treatment::Remove,
            Presence::OfOwners => Treatment::Null,
        };
        self.treat(Owners::Unknown, treat)
    }

    /// Returns the manifest without those of these fields that the live object has. Its `managedFields` tell; if
    /// somebody cleared them, all of these fields count as present, and no live value is touched.
    pub fn missing(&self, managed_fields: &[Value]) -> Value {
        let owned = union(managed_fields);
        let owners = if managed_fields.is_empty() { Owners::Unknown } else { Owners::Listed(Some(&owned)) };
        let manifest = self.treat(owners, |presence, found| {
            let is_there = presence == Presence::OfObject || found.owners.is_owned() != Some(false);
            if is_there { Treatment::Remove } else { Treatment::Keep }
        });
        self.without_ignored(manifest, managed_fields, true)
    }

    /// Like [`Self::missing`], but for a merge patch, which replaces lists as a whole.
    pub fn missing_in_maps(&self, managed_fields: &[Value]) -> Value {
        let owned = union(managed_fields);
        let manifest = self.treat(Owners::Listed(Some(&owned)), |presence, found| {
            let is_there = presence == Presence::OfObject || found.owners.is_owned() == Some(true);
            if is_there && !found.is_in_list { Treatment::Remove } else { Treatment::Keep }
        });
        self.without_ignored(manifest, managed_fields, false)
    }

    /// Returns the manifest, and treats each declared one of these fields as `decide` says.
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
