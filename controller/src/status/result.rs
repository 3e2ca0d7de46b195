//! What a pass came to, as far as the status tells of it.

use std::{collections::BTreeMap, time::Duration};

use holdfast_core::{api::ResourceReference, position::Position};

/// An object that is not as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Where it is declared, and why it is not so.
    pub(crate) text: String,
    /// It may be so at once.
    pub(crate) is_brief: bool,
}

/// By position.
pub(crate) type Failures = BTreeMap<Position, Failure>;

/// What became of the objects that are not declared any more.
#[derive(Default)]
pub(crate) struct Pruned {
    /// References that leave the inventory.
    pub(crate) dropped: Vec<ResourceReference>,
    /// One text for each object that is still there.
    pub(crate) pending: Vec<String>,
    /// When to try again what is pending.
    pub(crate) retry: Option<Duration>,
    /// Objects that were deleted and are gone.
    pub(crate) deleted: usize,
    /// Objects that could not be taken out of our hands, one text each.
    pub(crate) unorphaned: Vec<String>,
    /// Objects that stay because others could not be applied, and the settings want it so.
    pub(crate) waiting_for_success: usize,
}
