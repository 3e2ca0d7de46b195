//! The answer to a request.

use std::collections::BTreeMap;

use serde_json::Value;

/// The verdict. Its texts never contain field values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request passes.
    Allow {
        /// Warnings for the user.
        warnings: Vec<String>,
        /// Annotations for the API server's audit log.
        audit: BTreeMap<String, String>,
    },
    /// The request passes, except for fields that are put back.
    Revert {
        /// JSON patch of the new state.
        patch: Value,
        /// Warnings for the user.
        warnings: Vec<String>,
        /// Annotations for the API server's audit log.
        audit: BTreeMap<String, String>,
    },
    /// The request is refused.
    Deny {
        /// Message for the user.
        message: String,
        /// Annotations for the API server's audit log.
        audit: BTreeMap<String, String>,
    },
}

impl Verdict {
    pub(super) fn pass() -> Self {
        Self::Allow { warnings: Vec::new(), audit: BTreeMap::new() }
    }

    pub(super) fn warn(warning: impl Into<String>) -> Self {
        Self::Allow { warnings: vec![warning.into()], audit: BTreeMap::new() }
    }

    /// Whether the request passes.
    pub fn is_allowed(&self) -> bool {
        !matches!(self, Self::Deny { .. })
    }
}
