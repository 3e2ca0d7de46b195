//! From a ManagedResource's Secrets ([`secret`], [`unreadable`]) to what it desires ([`set`], by the [`loader`]).

mod loader;
mod secret;
mod set;
mod unreadable;

use holdfast_core::{api::Mode, decode::Source, manifest::Desired};

pub(crate) use loader::Loader;
pub(crate) use set::{Declaration, DesiredSet};

/// Settings of the controller that end up on objects.
#[derive(Clone, Debug)]
pub struct OwnershipMetadata {
    /// Prefix of the origin annotation.
    pub cluster_id: String,
    /// Value of the managed-by label.
    pub managed_by: String,
    /// Protection mode of ManagedResources that set none.
    pub default_mode: Mode,
    /// There is an admission policy that protects objects, too.
    pub guard: bool,
}

/// An object that is not as declared, where that is declared, and why.
pub(crate) fn failure_text(object: &Desired, why: &str) -> String {
    let Source { secret, key, document, .. } = &object.source;
    format!("{} (Secret {secret}, key {key:?}, document {document}): {why}", object.key)
}
