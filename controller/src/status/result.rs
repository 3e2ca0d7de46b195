//! What a pass came to, as far as the status tells of it.

use std::collections::BTreeMap;

/// An object that is not as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Where it is declared, and why it is not so.
    pub(crate) text: String,
    /// It may be so at once.
    pub(crate) is_brief: bool,
}

/// By position.
pub(crate) type Failures = BTreeMap<usize, Failure>;
