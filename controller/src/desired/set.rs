//! What a ManagedResource desires.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use holdfast_core::{
    api::{ManagedResource, Mode},
    digest::{Digest, Key},
    field_ownership::ManagedScope,
    inventory::plan::Duplicate,
    key::{GroupKind, ObjectKey},
    manifest::Desired,
    position::Position,
};

use super::{OwnershipMetadata, secret::Part};
use crate::target::discovery::Snapshot;

/// Digits of a checksum that tell one change from another.
const CHANGE: usize = 12;

/// What a ManagedResource desires, and what it was made from.
pub struct DesiredSet {
    /// Each object once, in the order of their keys.
    pub objects: Vec<Arc<Desired>>,
    /// Objects that are orphaned, because their manifests say so.
    pub orphaned: BTreeSet<ObjectKey>,
    pub(super) digests: Vec<Digest>,
    /// What of the objects is managed.
    pub(super) scope: ManagedScope,
    /// Kinds of the desired objects.
    pub kinds: BTreeSet<GroupKind>,
    /// Those of them, and of what is orphaned, of which no version is served.
    pub unknown: BTreeSet<GroupKind>,
    /// Objects that are declared twice with different content.
    pub duplicates: Vec<Duplicate>,
    /// Documents that cannot be read, one text each.
    pub decode_errors: Vec<String>,
    /// Annotations and settings that have no effect, one text each.
    pub warnings: Vec<String>,
    /// Secrets that cannot be read, one text each.
    pub missing: Vec<String>,
    /// Whether some of them may be there all the same: they are to be read again.
    pub is_denied: bool,
    /// Checksum of all data.
    pub checksum: String,
    /// By the names of the Secrets.
    pub(super) parts: BTreeMap<String, Arc<Part>>,
    pub(super) made_from: MadeFrom,
    pub(super) heeds_autoscalers: bool,
}

/// Everything beside the Secrets that the desired objects depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MadeFrom {
    generation: Option<i64>,
    mode: Mode,
    snapshot: u64,
}

impl MadeFrom {
    pub(super) fn new(mr: &ManagedResource, ownership: &OwnershipMetadata, snapshot: &Snapshot) -> Self {
        Self { generation: mr.metadata.generation, mode: mr.mode(ownership.default_mode), snapshot: snapshot.number }
    }
}

impl DesiredSet {
    /// Tells this content of the Secrets from others.
    pub fn change(&self) -> &str {
        self.checksum.get(..CHANGE).unwrap_or_default()
    }

    /// Whether every Secret and every document could be read.
    pub fn is_complete(&self) -> bool {
        self.decode_errors.is_empty() && self.missing.is_empty()
    }

    /// Whether it matters for any object if an autoscaler scales it.
    pub fn heeds_autoscalers(&self) -> bool {
        self.heeds_autoscalers
    }

    /// Makes those objects anew that autoscalers scale.
    pub fn scale(&mut self, key: &Key, is_scaled: impl Fn(&ObjectKey) -> bool) {
        for (object, digest) in self.objects.iter_mut().zip(&mut self.digests) {
            if object.heeds_autoscalers() && is_scaled(&object.key) {
                *object = Arc::new(object.autoscaled(true));
                *digest = object.digest(&self.scope.of_object(&object.key), key);
            }
        }
    }

    /// Digest of the manifest at a position of `objects`.
    pub fn digest(&self, position: Position) -> Digest {
        position.of(&self.digests).copied().unwrap_or_default()
    }

    /// Where an object is in `objects`.
    pub fn position(&self, object: &ObjectKey) -> Option<Position> {
        self.objects.binary_search_by(|desired| desired.key.cmp(object)).ok().map(Position::new)
    }

    /// Names of the Secrets that were read or found missing.
    pub fn secrets(&self) -> impl Iterator<Item = &String> {
        self.parts.keys()
    }

    /// Whether this version of a Secret is what was read; `None`: it was missing.
    pub fn has_version(&self, secret: &str, version: Option<&str>) -> bool {
        self.parts.get(secret).is_some_and(|part| part.version.as_deref() == version)
    }

    /// Whether nothing beside the Secrets has changed since.
    pub fn is_current(&self, mr: &ManagedResource, ownership: &OwnershipMetadata, snapshot: &Snapshot) -> bool {
        self.made_from == MadeFrom::new(mr, ownership, snapshot)
    }
}

/// A ManagedResource with what it desires and what is served, as a pass found them.
#[derive(Clone, Copy)]
pub(crate) struct Declaration<'a> {
    pub(crate) mr: &'a ManagedResource,
    pub(crate) set: &'a DesiredSet,
    pub(crate) served: &'a Snapshot,
}
