//! The client side of the target cluster: which requests are sent ([`client`]) with what ([`payload`]), when ([`write_gate`],
//! [`rate_limit`], [`slots`]), what is read of objects ([`partial_object`]), and what is served ([`discovery`]). Nothing is
//! decided here.

pub(crate) mod client;
pub(crate) mod discovery;
pub(crate) mod partial_object;
pub(crate) mod payload;
pub(crate) mod rate_limit;
pub(crate) mod slots;
pub(crate) mod write_gate;
