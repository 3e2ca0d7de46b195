//! What a request does to a managed object, where that matters.

use std::time::Duration;

use super::changes::Changes;
use super::request::Request;
use crate::{
    api::{Mode, Repair},
    inventory::index::Owner,
    key::ObjectKey,
};

/// A request that does something to the owner's object which its protection is about.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) object: ObjectKey,
    pub(super) owner: &'a Owner,
    pub(super) mode: Mode,
    /// When what passes is undone.
    pub(super) repair: Repair,
    /// How long a pause may be.
    pub(super) longest_pause: Duration,
    pub(super) offence: Offence,
}

/// What a request does to the owner's object, where that matters.
#[derive(Debug)]
pub(super) enum Offence {
    /// Fields change that are held.
    Change(Changes),
    /// The object would be deleted.
    Deletion,
    /// Somebody else creates an object that the owner holds.
    Creation,
}
