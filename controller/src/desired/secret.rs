//! What one Secret declares.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use holdfast_core::{
    api::Mode,
    decode::{self, Limits, Manifest},
    field_ownership::ManagedScope,
    key::{Gvk, NamespacedName, ObjectKey},
    manifest::{self, Context, Desired, annotations, discovery::Discovery},
};

use super::{OwnershipMetadata, failure_text};

/// A Secret as it was read.
#[derive(Default)]
pub(super) struct Part {
    /// Version that was read; `None`: there was no such Secret.
    pub(super) version: Option<String>,
    /// Of its data.
    pub(super) checksum: Vec<u8>,
    pub(super) made: Made,
    /// Why it could not be read.
    pub(super) problem: Option<String>,
    /// It may be there all the same.
    pub(super) is_denied: bool,
}

/// What was made of its manifests.
#[derive(Default)]
pub(super) struct Made {
    pub(super) desired: Vec<Arc<Desired>>,
    pub(super) orphaned: Vec<ObjectKey>,
    pub(super) errors: Vec<String>,
    /// Annotations with values that nobody knows, one text each.
    pub(super) warnings: Vec<String>,
}

/// How to make desired objects of manifests, to be taken to another thread.
pub(super) struct Recipe {
    pub(super) mr: NamespacedName,
    pub(super) inject_labels: Option<BTreeMap<String, String>>,
    pub(super) mode: Mode,
    /// What of the objects is managed.
    pub(super) scope: ManagedScope,
    pub(super) ownership: OwnershipMetadata,
    pub(super) kinds: Arc<Discovery>,
}

impl Recipe {
    /// Decodes a Secret and prepares its objects, one after the other: as trees they take several times their memory.
    pub(super) fn make(&self, secret: &str, data: &BTreeMap<String, Vec<u8>>) -> Made {
        let mut made = Made::default();
        // Thousands of objects are of few kinds.
        let mut gvks: BTreeSet<Arc<Gvk>> = BTreeSet::new();
        let take = |manifest: Manifest| {
            let warnings = annotations::warnings(&manifest.object);
            match manifest::prepare(manifest, &self.context(), &self.kinds) {
                Ok(mut object) => {
                    if let Some(earlier) = gvks.get(&object.gvk) {
                        object.gvk = Arc::clone(earlier);
                    } else {
                        gvks.insert(Arc::clone(&object.gvk));
                    }
                    made.warnings.extend(warnings.iter().map(|warning| failure_text(&object, warning)));
                    made.desired.push(Arc::new(object));
                }
                Err(object) => made.orphaned.push(object),
            }
        };
        let errors = decode::decode_secret_into(&self.mr.namespace, secret, data, &Limits::default(), take);
        made.errors = errors.iter().map(ToString::to_string).collect();
        made
    }

    fn context(&self) -> Context<'_> {
        Context {
            mr: &self.mr,
            cluster_id: &self.ownership.cluster_id,
            inject_labels: self.inject_labels.as_ref(),
            managed_by: &self.ownership.managed_by,
            mode: self.mode,
            managed_scope: &self.scope,
            guard: self.ownership.guard,
        }
    }
}
