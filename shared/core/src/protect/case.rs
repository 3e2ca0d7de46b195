//! The effect of a request on a managed object.

use std::time::Duration;

use super::changes::Changes;
use super::request::Request;
use crate::{
    api::{Mode, Repair},
    inventory::index::Owner,
    key::ObjectKey,
};

/// A request that affects an owned object in a way that protection covers.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) object: ObjectKey,
    pub(super) owner: &'a Owner,
    pub(super) mode: Mode,
    /// When the controller undoes what passes.
    pub(super) repair: Repair,
    /// Longest allowed pause.
    pub(super) longest_pause: Duration,
    pub(super) offence: Offence,
}

/// How a request affects an owned object.
#[derive(Debug)]
pub(super) enum Offence {
    /// It changes managed fields.
    Change(Changes),
    /// It would delete the object.
    Deletion,
    /// Somebody else creates an object that the owner declares.
    Creation,
}
