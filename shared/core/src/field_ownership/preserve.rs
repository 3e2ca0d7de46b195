//! Fields that a manifest may set, but that Holdfast leaves to others once they exist
//! (`docs/design/field-ownership.md`).
//!
//! One table lists them: rows of (rule, kinds, path). The kind, the manifest and a possible autoscaler decide whether a
//! rule is on for an object. All parts obey it: the controller applies such a field only at creation
//! ([`super::unmanaged`]), foreign writes to it are no drift ([`super::external_fields`]), and users may change it
//! ([`crate::protect`]).

use std::sync::LazyLock;

use serde_json::Value;

use crate::{
    api::ResourceReference,
    field_set::{Path, Pattern},
    key::ObjectKey,
    names,
};

/// Why Holdfast leaves fields alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The manifest asks for it or declares no replicas, or an autoscaler scales the object.
    Replicas = 1,
    /// The manifest asks for it.
    Resources = 2,
    /// `kubectl rollout restart`.
    Restart = 4,
    /// The server does not accept changes.
    Claims = 8,
    /// A Secret with the token of a ServiceAccount. It has no row below: only the control plane may write its content,
    /// as the table in [`super::allowed`] says.
    Token = 16,
}

/// Rules that the inventory records by name, because the kind of an object does not imply them.
const REMEMBERED: [(Rule, &str); 3] =
    [(Rule::Replicas, "replicas"), (Rule::Resources, "resources"), (Rule::Token, "token")];

/// Whether a field exists although nobody owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// The field exists if the object exists.
    OfObject,
    /// The field exists if somebody owns it.
    OfOwners,
}
use Presence::{OfObject, OfOwners};

/// Fields that Holdfast leaves alone in objects of some kinds while a rule is on.
#[derive(Debug)]
pub(super) struct Row {
    rule: Rule,
    kinds: Kinds,
    pub(super) pattern: Pattern,
    pub(super) presence: Presence,
}

/// Pairs of (group, kind).
type Kinds = &'static [(&'static str, &'static str)];

const SETS: Kinds = &[("apps", "StatefulSet"), ("extensions", "StatefulSet")];
const SCALED: Kinds =
    &[("apps", "Deployment"), ("extensions", "Deployment"), ("apps", "StatefulSet"), ("extensions", "StatefulSet")];
const TEMPLATED: Kinds = &[
    ("apps", "Deployment"),
    ("extensions", "Deployment"),
    ("apps", "StatefulSet"),
    ("extensions", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("batch", "Job"),
];
const CRON: Kinds = &[("batch", "CronJob")];
const SECRETS: Kinds = &[("", "Secret")];
/// `type` of the Secrets of [`Rule::Token`].
const TOKEN: &str = "kubernetes.io/service-account-token";

#[rustfmt::skip]
const TABLE: [(Rule, Kinds, &[&str], Presence); 12] = [
    (Rule::Replicas, SCALED, &["spec", "replicas"], OfObject),
    (Rule::Claims, SETS, &["spec", "volumeClaimTemplates"], OfObject),
    (Rule::Restart, TEMPLATED, &["spec", "template", "metadata", "annotations", names::ANNOTATION_RESTARTED_AT], OfOwners),
    (Rule::Restart, CRON, &["spec", "jobTemplate", "spec", "template", "metadata", "annotations", names::ANNOTATION_RESTARTED_AT], OfOwners),
    (Rule::Resources, TEMPLATED, &["spec", "template", "spec", "containers", "*", "resources", "requests", "cpu"], OfOwners),
    (Rule::Resources, TEMPLATED, &["spec", "template", "spec", "containers", "*", "resources", "requests", "memory"], OfOwners),
    (Rule::Resources, TEMPLATED, &["spec", "template", "spec", "containers", "*", "resources", "limits", "cpu"], OfOwners),
    (Rule::Resources, TEMPLATED, &["spec", "template", "spec", "containers", "*", "resources", "limits", "memory"], OfOwners),
    (Rule::Resources, CRON, &["spec", "jobTemplate", "spec", "template", "spec", "containers", "*", "resources", "requests", "cpu"], OfOwners),
    (Rule::Resources, CRON, &["spec", "jobTemplate", "spec", "template", "spec", "containers", "*", "resources", "requests", "memory"], OfOwners),
    (Rule::Resources, CRON, &["spec", "jobTemplate", "spec", "template", "spec", "containers", "*", "resources", "limits", "cpu"], OfOwners),
    (Rule::Resources, CRON, &["spec", "jobTemplate", "spec", "template", "spec", "containers", "*", "resources", "limits", "memory"], OfOwners),
];

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let rows = TABLE.iter().map(|(rule, kinds, path, presence)| Row {
        rule: *rule,
        kinds,
        pattern: Pattern::of(path),
        presence: *presence,
    });
    rows.collect()
});

fn is_of(kinds: Kinds, object: &ObjectKey) -> bool {
    kinds.iter().any(|(group, kind)| object.group() == *group && object.kind() == *kind)
}

/// Returns the table, as (rule, kinds, path).
pub(crate) fn table() -> impl Iterator<Item = (Rule, Kinds, &'static [&'static str])> {
    TABLE.iter().map(|(rule, kinds, path, _)| (*rule, *kinds, *path))
}

/// Whether Holdfast respects autoscalers of objects of this kind.
pub fn is_scaled(object: &ObjectKey) -> bool {
    is_of(SCALED, object)
}

/// The rules that are on for one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preserve(u8);

impl Preserve {
    /// Returns the rules for an object with this manifest.
    pub fn of(object: &ObjectKey, manifest: &Value, is_autoscaled: bool) -> Self {
        let annotation = |key: &str| manifest.pointer("/metadata/annotations").and_then(|map| map.get(key)?.as_str());
        let declares_replicas = manifest.pointer("/spec/replicas").is_some_and(|replicas| !replicas.is_null());
        Self::select(object, |rule| match rule {
            Rule::Replicas => {
                is_autoscaled || !declares_replicas || annotation(names::ANNOTATION_PRESERVE_REPLICAS) == Some("true")
            }
            Rule::Resources => annotation(names::ANNOTATION_PRESERVE_RESOURCES) == Some("true"),
            Rule::Token => manifest.get("type").and_then(Value::as_str) == Some(TOKEN),
            Rule::Restart | Rule::Claims => true,
        })
    }

    /// Returns the rules that the inventory records for an object.
    pub fn remembered(reference: &ResourceReference) -> Self {
        Self::select(&reference.object_key(), |rule| {
            let name = REMEMBERED.iter().find(|(entry, _)| *entry == rule).map(|(_, name)| *name);
            let remembered = reference.preserved.as_deref().unwrap_or_default();
            name.is_none_or(|name| remembered.split(' ').any(|entry| entry == name))
        })
    }

    /// Returns the rules that hold for every object of this kind.
    pub fn of_kind(object: &ObjectKey) -> Self {
        Self::select(object, |rule| REMEMBERED.iter().all(|(entry, _)| *entry != rule))
    }

    fn select(object: &ObjectKey, is_on: impl Fn(Rule) -> bool) -> Self {
        let rows = TABLE.iter().map(|(rule, kinds, ..)| (*rule, *kinds)).chain([(Rule::Token, SECRETS)]);
        let rules = rows.filter(|(rule, kinds)| is_of(kinds, object) && is_on(*rule));
        Self(rules.fold(0, |all, (rule, _)| all | rule as u8))
    }

    /// Returns the names that [`Self::remembered`] reads, separated by spaces.
    pub fn names(self) -> Option<Box<str>> {
        let on = REMEMBERED.iter().filter(|(rule, _)| self.contains(*rule));
        let names: Vec<&str> = on.map(|(_, name)| *name).collect();
        (!names.is_empty()).then(|| names.join(" ").into())
    }

    /// Whether a rule is on.
    pub fn contains(self, rule: Rule) -> bool {
        self.0 & rule as u8 != 0
    }

    /// Whether every rule of `other` is on.
    pub fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no rule leaves out a field that the manifest declares.
    pub fn is_none(self) -> bool {
        self.0 & !(Rule::Token as u8) == 0
    }

    /// Whether users may change this field of an object of this kind.
    pub fn allows(self, kind: &str, path: &Path) -> bool {
        self.rows(kind).any(|row| row.pattern.contains(path))
    }

    pub(super) fn rows(self, kind: &str) -> impl Iterator<Item = &'static Row> {
        let is_of_kind = move |kinds: Kinds| kinds.iter().any(|(_, entry)| *entry == kind);
        ROWS.iter().filter(move |row| self.contains(row.rule) && is_of_kind(row.kinds))
    }
}

#[cfg(test)]
mod tests;
