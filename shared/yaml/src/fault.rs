//! Why a document could not be read, inside the decoder.

use std::borrow::Cow;

/// A reason in our own words, and the line it is about. Never holds a piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Line from 1, counted from where the reader was started.
    pub(crate) line: Option<usize>,
    pub(crate) reason: Cow<'static, str>,
}

impl Fault {
    pub(crate) fn new(line: Option<usize>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { line, reason: reason.into() }
    }
}
