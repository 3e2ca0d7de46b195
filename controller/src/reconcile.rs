//! Reconciling ManagedResources: of the controller's folders, this one knows all others.
//!
//! A [`worker`] takes a ManagedResource from the queue, and the [`reconciler`] decides by its phase what is done: a [`pass`], which
//! loads ([`load`]), plans ([`plan`]), writes the inventory ahead, applies and prunes ([`execute`]), and reports ([`finish`],
//! [`refuse`]); a quick repair of [`drift`]; a [`deletion`]; or a [`pause`]. [`memory`] is kept between passes: when objects are
//! applied again ([`resync`]), when mere observations are written down ([`status_delay`]), and so on.

mod announce;
mod brief_failures;
mod deletion;
mod drift;
mod execute;
mod finish;
mod load;
mod memory;
mod pass;
mod pause;
mod plan;
mod prune_barrier;
mod reconciler;
mod refuse;
mod resync;
mod status_delay;
mod wiring;
mod worker;

pub(crate) use reconciler::Reconciler;
pub(crate) use wiring::Wiring;

use reconciler::{Policy, Stages};
use worker::Worker;
