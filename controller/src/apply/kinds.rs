//! Objects of kinds that cannot be managed: not served, or only to be created.

use holdfast_core::{
    key::Gvk,
    manifest::discovery::{ApiInfo, Discovery},
    position::Position,
};

use crate::{
    desired::{DesiredSet, failure_text},
    status::result::{Failure, Failures},
    target::error::ApplyError,
};

/// How a kind is served.
///
/// # Errors
/// Objects of it cannot be managed; why.
pub(crate) fn manageable<'a>(gvk: &Gvk, served: &'a Discovery) -> Result<&'a ApiInfo, ApplyError> {
    match served.get(gvk) {
        None => Err(ApplyError::UnknownKind(gvk.clone())),
        Some(info) if !info.is_manageable() => {
            Err(ApplyError::Unmanageable { gvk: gvk.clone(), verbs: info.missing_verbs.clone() })
        }
        Some(info) => Ok(info),
    }
}

/// Objects that cannot be managed. Those that the inventory does not have stay out of it, since nobody could find them again.
pub(crate) fn unmanageable(set: &DesiredSet, served: &Discovery) -> Failures {
    let desired = Position::enumerate(&set.objects);
    let refused = desired.filter_map(|(position, object)| {
        let obstacle = manageable(&object.gvk, served).err()?;
        Some((position, Failure { text: failure_text(object, &obstacle.to_string()), is_brief: false }))
    });
    refused.collect()
}
