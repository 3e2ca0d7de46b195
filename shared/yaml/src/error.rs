//! Why a document could not be read.

use std::fmt;

/// A document that could not be read. It contains nothing of the text, since values may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Number of the document in its text, from 1.
    pub document: usize,
    /// Line of the text, from 1, if known.
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

/// What is wrong with a document. It prints without a full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// There are more documents than [`Limits::documents`](crate::Limits::documents), which it carries. Neither this
    /// document nor a later one is read.
    #[error("more than {0} documents")]
    TooManyDocuments(usize),
    /// The document is larger than [`Limits::document_bytes`](crate::Limits::document_bytes), which it carries.
    #[error("the document exceeds {0} bytes")]
    TooLarge(usize),
    /// The values of all documents would take more memory than [`Limits::total_bytes`](crate::Limits::total_bytes)
    /// allows. Reading ends.
    #[error("the values take too much memory")]
    TooMuchMemory,
    /// The aliases of one document, or of all documents, expand to too many bytes.
    #[error("aliases expand to too much")]
    TooMuchExpansion,
    /// The text is neither YAML nor JSON, or JSON cannot represent its value.
    #[error("{0}")]
    Invalid(&'static str),
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self::Invalid(text)
    }
}

/// A reason and its line. Lines count from 1 where the reader started.
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
