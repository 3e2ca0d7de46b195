//! The client side of the target cluster: which requests are sent ([`execute`]) with what ([`payload`]), when ([`gate`],
//! [`pace`], [`turn`]), what is read of objects ([`metadata`]), and what is served ([`discover`]). Nothing is decided here.

pub(crate) mod discover;
pub(crate) mod execute;
pub(crate) mod gate;
pub(crate) mod metadata;
pub(crate) mod pace;
pub(crate) mod payload;
pub(crate) mod turn;
