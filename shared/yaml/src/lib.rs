//! YAML and JSON, read as Go's readers read them for Kubernetes.

mod arena;
mod budget;
mod chunks;
mod compose;
mod construct;
mod fault;
mod json;
mod number;
mod scalar;
mod stream;
mod syntax_error;
mod text;

pub use budget::{Budget, Limits};
pub use stream::{Document, DocumentError, Stream, decode_stream};
