//! Passes over ManagedResources: from what is desired to the status ([`reconciler`]).
//!
//! Around it: the short way of a repair ([`steady`]), what is due without an event ([`rhythm`]), deletion, pauses, and what goes on
//! beside the passes ([`background`]). Of the controller's folders, this one knows all others.

mod background;
mod current;
mod deletion;
mod hidden;
mod pauses;
mod reconciler;
mod retries;
mod rhythm;
mod steady;

pub(crate) use reconciler::Reconciler;

/// Time for conditions: seconds, UTC.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
