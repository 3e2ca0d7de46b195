//! One object that is applied, and what came of it.

use holdfast_core::{
    digest::{Digest, Key},
    field_ownership::{
        ManagedScope,
        external_fields::{Change, ExternalFields},
        unmanaged::UnmanagedFields,
    },
    inventory::drift::{Observed, State},
    key::NamespacedName,
    manifest::{Desired, body::Opened, discovery::ApiInfo},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::kinds::manageable;
use crate::target::{client::Endpoint, discovery::Snapshot, error::ApplyError};

/// What applying an object came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ObjectOutcome {
    /// Others had changed or deleted it.
    pub(super) repaired: Option<Change>,
    /// It was repaired so often that others and we contend for it.
    pub(super) is_contended: bool,
    /// Who had written the object before we took it over.
    pub(super) adopted: Vec<String>,
    /// The server's words, when it had to be written without apply for the first time.
    pub(super) plain: Option<String>,
    /// The server's words, when it was deleted and created again because an update was invalid.
    pub(super) recreated: Option<String>,
}

/// One object to be applied.
#[derive(Clone, Copy)]
pub(super) struct ApplyContext<'a> {
    pub(super) mr: &'a NamespacedName,
    pub(super) object: &'a Desired,
    /// Its manifest.
    pub(super) body: &'a Opened<'a>,
    pub(super) digest: Digest,
    pub(super) snapshot: &'a Snapshot,
    /// What of it is managed.
    pub(super) scope: &'a ManagedScope,
    /// The inventory did not have it before.
    pub(super) is_fresh: bool,
    /// Of the digests of what is observed.
    pub(super) digest_key: &'a Key,
}

impl<'a> ApplyContext<'a> {
    /// What others wrote of the fields that we manage.
    pub(super) fn external<'b>(&self, managed_fields: &'b [Value]) -> ExternalFields<'b>
    where
        'a: 'b,
    {
        ExternalFields::new(managed_fields, self.object.key.kind(), self.scope).without(self.unmanaged())
    }

    /// The fields that we do not manage, when the object stands like this.
    pub(super) fn unmanaged_in(&self, state: State) -> UnmanagedFields<'a> {
        self.unmanaged().settled(matches!(state, State::InSync | State::Drifted))
    }

    /// The fields that we do not manage.
    pub(super) fn unmanaged(&self) -> UnmanagedFields<'a> {
        if self.is_fully_managed() {
            // The manifest would make no difference.
            return UnmanagedFields::new(self.object.key.kind(), self.object.preserve);
        }
        self.object.unmanaged_fields(self.body.value()).ignoring(&self.scope.ignored)
    }

    /// Whether all of the object is managed.
    pub(super) fn is_fully_managed(&self) -> bool {
        self.object.preserve.is_none() && self.scope.ignored.is_none()
    }

    /// How its kind is served.
    pub(super) fn info(&self) -> Result<&'a ApiInfo, ApplyError> {
        manageable(&self.object.gvk, &self.snapshot.kinds)
    }

    /// Where its kind is served.
    pub(super) fn endpoint(&self) -> Result<Endpoint, ApplyError> {
        Ok(Endpoint::new(&self.object.gvk, self.info()?))
    }

    /// What an answer says of the object.
    pub(super) fn observed(&self, metadata: ObjectMeta) -> Observed {
        let Desired { key, preserve, .. } = self.object;
        Observed::of(metadata, key.kind(), *preserve, self.scope, self.digest_key)
    }
}
