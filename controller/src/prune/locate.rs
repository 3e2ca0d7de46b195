//! Where an object of an inventory is served.

use holdfast_core::{api::ResourceReference, manifest::discovery::Place, object_name};

use super::{Pruner, delete::RemovalError};
use crate::target::client::Endpoint;

/// How new the discovery of kinds must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// As cached.
    Cached,
    /// The server is asked again.
    Now,
}

impl Pruner {
    /// Where the kind of an object is served; the version of the inventory may not be any more, and the object is the same in the
    /// one that is. `None` if the object cannot exist.
    ///
    /// # Errors
    /// Nobody serves its kind, and it is not known whether it exists.
    pub(super) async fn locate(
        &self,
        reference: &ResourceReference,
        freshness: Freshness,
    ) -> Result<Option<Endpoint>, RemovalError> {
        if !object_name::is_possible(&reference.object_key()) {
            // There never was one of this name, though an older version may have noted it.
            return Ok(None);
        }
        let gvk_in_inventory = reference.gvk();
        let discovery = &self.target.discovery;
        if freshness == Freshness::Cached {
            let snapshot = discovery.current().await?;
            if let Place::At(gvk, info) = snapshot.kinds.look_up(&gvk_in_inventory, &reference.namespace) {
                return Ok(Some(Endpoint::new(&gvk, info)));
            }
        }
        // That something does not exist is only said of what is served now, or was half a second ago.
        let snapshot = discovery.refresh().await?;
        match snapshot.kinds.look_up(&gvk_in_inventory, &reference.namespace) {
            Place::At(gvk, info) => Ok(Some(Endpoint::new(&gvk, info))),
            Place::Nowhere => Ok(None),
            Place::Unknown => {
                let absence = discovery.absence(&gvk_in_inventory.group_kind()).await;
                absence.map(|()| None).map_err(RemovalError::Unserved)
            }
        }
    }
}
