//! How the reviews of each endpoint are read, and the answer without a decision.

use std::collections::BTreeMap;

use holdfast_core::protect::Verdict;

use super::review::{Request, ReviewError, ReviewHeader};

pub use crate::endpoint::Endpoint;

impl Endpoint {
    /// Reads the body of a review.
    ///
    /// # Errors
    /// The body is no review.
    pub fn read(self, body: &[u8]) -> Result<Request, ReviewError> {
        match self {
            Self::Protect => Request::read_changes(body),
            // A patch needs the whole object.
            Self::Revert | Self::Secrets | Self::ManagedResources | Self::Namespaces => Request::read(body),
        }
    }

    /// The verdict if there is no decision. `/protect` only sees managed objects and refuses; scaling and all other endpoints
    /// fail open, with a warning. `/revert` passes in silence: the same edit comes to `/protect` afterwards.
    pub fn without_decision(self, header: &ReviewHeader, why: &str) -> Verdict {
        let text = format!("Holdfast could not judge this request: {why}");
        match self {
            Self::Revert => Verdict::Allow { warnings: Vec::new(), audit: BTreeMap::new() },
            Self::Protect if !header.is_scale => {
                Verdict::Deny { message: text, audit: BTreeMap::from([("decision".to_owned(), "unjudged".to_owned())]) }
            }
            Self::Protect | Self::Secrets | Self::ManagedResources | Self::Namespaces => {
                Verdict::Allow { warnings: vec![format!("{text}; it was allowed")], audit: BTreeMap::new() }
            }
        }
    }
}
