//! A CustomResourceDefinition that somebody else installed, without the fields of ours (design §6).
//!
//! The server then drops them from every status we write. Nothing is lost but the memory over a restart: they are put back
//! in memory, so that the status is not taken for a different one in each pass.

use std::collections::BTreeMap;

use holdfast_core::api::{ManagedResource, ResourceReference};

/// Whether the server dropped our fields from the inventory that was sent.
pub fn is_lossy(sent: &[ResourceReference], stored: &[ResourceReference]) -> bool {
    // What is about to be created is a name alone in any case.
    let has_entries = stored.iter().any(|reference| !reference.pending);
    has_fields(sent) && has_entries && !has_fields(stored)
}

/// Whether any entry of an inventory has a field that is ours alone.
pub fn has_fields(inventory: &[ResourceReference]) -> bool {
    let mut entries = inventory.iter().filter(|reference| !reference.pending);
    entries.any(|reference| reference.resource.is_some() || reference.source.is_some())
}

/// Puts back what is known of the objects of an inventory.
pub fn restore(mr: &mut ManagedResource, known: &[ResourceReference]) {
    let Some(status) = &mut mr.status else { return };
    let known: BTreeMap<_, _> = known.iter().map(|reference| (reference.object_key(), reference)).collect();
    for reference in &mut status.resources {
        let Some(known) = known.get(&reference.object_key()) else { continue };
        reference.resource = reference.resource.take().or_else(|| known.resource.clone());
        reference.source = reference.source.take().or_else(|| known.source.clone());
        reference.state = reference.state.take().or_else(|| known.state.clone());
        reference.preserved = reference.preserved.take().or_else(|| known.preserved.clone());
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::api::Status;

    use super::*;

    fn reference(source: Option<&str>) -> ResourceReference {
        ResourceReference { name: "a".into(), source: source.map(Into::into), ..Default::default() }
    }

    #[test]
    fn dropped_fields_are_noticed_and_put_back() {
        let (full, cut) = ([reference(Some("s"))], [reference(None)]);
        assert!(is_lossy(&full, &cut));
        assert!(!is_lossy(&full, &full) && !is_lossy(&cut, &cut) && !is_lossy(&full, &[]));
        let mut mr = ManagedResource {
            status: Some(Status { resources: cut.to_vec(), ..Status::default() }),
            ..ManagedResource::default()
        };
        restore(&mut mr, &full);
        assert_eq!(mr.inventory(), full);
    }
}
