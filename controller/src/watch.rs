//! What the watches say goes into the state and wakes the queue: ManagedResources, Secrets, the kinds in use ([`objects`]) and
//! autoscalers. [`reducer`] says what is read of the objects of a kind. [`watch_status`] says which watches fail, [`server_probe`] whether the API servers answer at all.

mod autoscalers;
pub(crate) mod context;
mod full_object;
pub(crate) mod managed_resources;
pub(crate) mod objects;
pub(crate) mod reducer;
pub(crate) mod secrets;
pub(crate) mod server_probe;
pub(crate) mod watch_status;
