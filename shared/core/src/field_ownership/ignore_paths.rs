//! Fields that a ManagedResource leaves to others: `spec.protection.ignorePaths`.
//!
//! Webhook and controller both find these fields through `managedFields`. There, list elements have their keys. A value
//! that is owned as a whole (an atomic list) has no parts, so a path into it matches nothing.
//!
//! Holdfast sets these fields at creation only. If somebody removes one, it stays away until the manifest changes.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    api::IgnorePath,
    field_set::{self, Owners, Pattern, Treatment, Walk, merge, take, union},
    key::ObjectKey,
    names,
};

/// The paths of a ManagedResource, or those that match one object. An empty list takes no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnorePaths(Option<Arc<[Row]>>);

/// One path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    pattern: Pattern,
    written: IgnorePath,
}

impl Row {
    fn is_for(&self, object: &ObjectKey) -> bool {
        let is = |expected: &Option<String>, found: &str| expected.as_ref().is_none_or(|expected| expected == found);
        let IgnorePath { group, kind, name, .. } = &self.written;
        is(group, object.group()) && is(kind, object.kind()) && is(name, object.name())
    }
}

/// Describes each invalid path. Invalid paths have no effect.
pub fn errors(paths: &[IgnorePath]) -> Vec<String> {
    let errors = paths.iter().enumerate().filter_map(|(position, written)| {
        let why = parse(&written.path).err()?;
        Some(format!("spec.protection.ignorePaths[{position}]: {:?}: {why}", written.path))
    });
    errors.collect()
}

/// Describes each path that most likely does not mean what the user intends.
pub fn warnings(paths: &[IgnorePath]) -> Vec<String> {
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let warnings = paths.iter().enumerate().filter_map(|(position, written)| {
        let number = written.path.split('/').skip(1).find(is_number).filter(|part| !part.is_empty())?;
        Some(format!(
            "spec.protection.ignorePaths[{position}]: {number} is taken for the name of a field (elements of lists are named \
             by their key, such as containers[name=app], or by *)"
        ))
    });
    warnings.collect()
}

/// Parses a path.
///
/// # Errors
/// The text is no pointer, or matches a field that Holdfast always manages. The error says which.
fn parse(pointer: &str) -> Result<Pattern, String> {
    let pattern = Pattern::parse(pointer)?;
    match reserved(&pattern) {
        Some(why) => Err(why.to_owned()),
        None => Ok(pattern),
    }
}

/// Returns why a pattern is not allowed. Fields that hold an object together are never left to others.
fn reserved(pattern: &Pattern) -> Option<&'static str> {
    match (pattern.field(0), pattern.field(1), pattern.field(2)) {
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

impl IgnorePaths {
    /// Parses the paths, and skips invalid ones.
    pub fn of(paths: &[IgnorePath]) -> Self {
        let rows = paths
            .iter()
            .filter_map(|written| Some(Row { pattern: parse(&written.path).ok()?, written: written.clone() }));
        Self::from_rows(rows.collect())
    }

    fn from_rows(rows: Vec<Row>) -> Self {
        Self((!rows.is_empty()).then(|| rows.into()))
    }

    /// Whether there are no paths.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the paths that match an object.
    #[must_use]
    pub fn of_object(&self, object: &ObjectKey) -> Self {
        if self.rows().iter().all(|row| row.is_for(object)) {
            return self.clone();
        }
        Self::from_rows(self.rows().iter().filter(|row| row.is_for(object)).cloned().collect())
    }

    /// Returns the paths as the user wrote them.
    pub fn texts(&self) -> Vec<&str> {
        self.rows().iter().map(|row| row.written.path.as_str()).collect()
    }

    fn rows(&self) -> &[Row] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Removes these fields from a set, and returns them as a set; see [`take`].
    pub(crate) fn take(&self, set: &mut Map<String, Value>, manifest: Option<&Value>) -> Value {
        self.rows().iter().fold(Value::Object(Map::new()), |mut all, row| {
            merge(&mut all, &Value::Object(take(set, &row.pattern, manifest)));
            all
        })
    }

    /// Removes these fields from a manifest, as far as an object with these `managedFields` has them. If this manifest
    /// was applied before (`is_settled`), also removes the fields that the object lacks: somebody removed them.
    pub(crate) fn strip(&self, manifest: &mut Value, managed_fields: &[Value], is_settled: bool, is_in_lists: bool) {
        if self.is_none() {
            return;
        }
        let owned = union(managed_fields);
        let mut walk = Walk::of_manifest(|found| {
            let is_meant = is_in_lists || !found.is_in_list;
            let is_there = is_settled || found.owners.is_owned() == Some(true);
            if is_meant && is_there { Treatment::Remove } else { Treatment::Keep }
        });
        for row in self.rows() {
            walk.to(&row.pattern, manifest, Owners::Listed(Some(&owned)));
        }
    }

    /// Returns two states of an object without these fields.
    pub(crate) fn without(&self, old: &Value, new: &Value) -> (Value, Value) {
        let both: Vec<Value> = [old, new].into_iter().flat_map(field_set::entries).cloned().collect();
        let owned = union(&both);
        let mut walk = Walk::of_live(|_| Treatment::Remove);
        let mut without = |state: &Value| {
            let mut state = state.clone();
            for row in self.rows() {
                walk.to(&row.pattern, &mut state, Owners::Listed(Some(&owned)));
            }
            state
        };
        (without(old), without(new))
    }
}

#[cfg(test)]
mod tests;
