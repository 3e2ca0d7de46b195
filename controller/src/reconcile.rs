//! Passes over ManagedResources: from what is desired to the status ([`reconciler`]).
//!
//! Around it: the short way of a repair ([`drift`]), what is due without an event ([`resync`]), deletion and pauses. Of the controller's folders, this one knows all others.

mod background;
mod deletion;
mod drift;
mod finish;
mod load;
mod pause;
mod prune_barrier;
mod reconciler;
mod refuse;
mod resync;
mod terminating;

pub(crate) use reconciler::Reconciler;

/// Time for conditions: seconds, UTC.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
