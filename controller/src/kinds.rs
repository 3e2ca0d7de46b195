//! Objects of kinds that cannot be managed: not served, or only to be created.

use std::collections::BTreeMap;

use holdfast_core::{
    discovery::{ApiInfo, Discovery},
    key::Gvk,
};

use crate::{apply::failure_text, execute::ApplyError, load::Loaded};

/// Why objects of a kind cannot be managed; `None` if they can.
pub(crate) fn obstacle(gvk: &Gvk, info: Option<&ApiInfo>) -> Option<ApplyError> {
    match info {
        None => Some(ApplyError::UnknownKind(gvk.clone())),
        Some(info) if !info.is_manageable() => {
            Some(ApplyError::Unmanageable { gvk: gvk.clone(), verbs: info.missing_verbs.clone() })
        }
        Some(_) => None,
    }
}

/// Positions of objects that cannot be managed, with the reason. Those that the inventory does not have stay out of it, since
/// nobody could find them again.
pub(crate) fn unmanageable(loaded: &Loaded, served: &Discovery) -> BTreeMap<usize, String> {
    let desired = loaded.desired.iter().enumerate();
    let refused = desired.filter_map(|(position, object)| {
        let obstacle = obstacle(&object.gvk, served.get(&object.gvk))?;
        Some((position, failure_text(object, &obstacle.to_string())))
    });
    refused.collect()
}
