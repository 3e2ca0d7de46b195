//! Why a document could not be read.

use std::fmt;

/// A document that could not be read. Shows nothing of the text: values may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Number of the document in its text, from 1.
    pub document: usize,
    /// Line of the text, from 1, where known.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: Reason,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {}", self.document)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for Error {}

/// What is wrong with a document; shown without a full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// More than [`Limits::documents`](crate::Limits::documents), which it carries. Neither this document nor one behind it is read.
    #[error("more than {0} documents")]
    TooManyDocuments(usize),
    /// More than [`Limits::document_bytes`](crate::Limits::document_bytes), which it carries.
    #[error("the document exceeds {0} bytes")]
    TooLarge(usize),
    /// The values of all documents would take more memory than [`Limits::total_bytes`](crate::Limits::total_bytes) allows. Nothing
    /// more is read.
    #[error("the values take too much memory")]
    TooMuchMemory,
    /// The aliases of a document, or of all of them, expand to too much.
    #[error("aliases expand to too much")]
    TooMuchExpansion,
    /// Not YAML or JSON, or nothing that JSON can hold.
    #[error("{0}")]
    Invalid(&'static str),
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self::Invalid(text)
    }
}

/// A reason, and the line it is about: from 1, counted from where the reader was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: Option<usize>,
    pub(crate) reason: Reason,
}

impl Fault {
    pub(crate) fn new(line: Option<usize>, reason: impl Into<Reason>) -> Self {
        Self { line, reason: reason.into() }
    }
}
