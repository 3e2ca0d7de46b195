#![doc = include_str!("../README.md")]

mod arena;
mod budget;
mod chunks;
mod compose;
mod construct;
mod document;
mod documents;
mod error;
mod json;
mod number;
mod scalar;
mod sniff;
mod syntax_error;
mod text;

pub use budget::{Budget, Limits};
pub use documents::{Document, Documents, documents};
pub use error::{Error, Reason};
