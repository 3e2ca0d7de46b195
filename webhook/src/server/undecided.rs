//! Reviews without a decision, and what is answered instead.

use std::collections::BTreeMap;

use holdfast_core::protect::Verdict;
use http::StatusCode;

use super::body::{BODY_LIMIT, Fault};
use crate::admission::review::ReviewError;

/// Why a review was not judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unjudged {
    #[error("the review is larger than {} MiB", BODY_LIMIT >> 20)]
    TooLarge,
    #[error("the review did not arrive in time")]
    TooSlow,
    #[error("there are too many reviews at a time")]
    TooMany,
    #[error("the connection broke")]
    Broken,
    #[error("no decision came in time")]
    Undecided,
    #[error("an internal error")]
    Panicked,
    #[error(transparent)]
    Unreadable(#[from] ReviewError),
}

impl Unjudged {
    /// For callers who are not the API server.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Broken | Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Undecided | Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Refused where only managed objects arrive, otherwise allowed with a warning.
    pub(crate) fn verdict(&self, is_managed: bool) -> Verdict {
        let text = format!("Holdfast could not judge this request: {self}");
        if is_managed {
            Verdict::Deny { message: text, audit: BTreeMap::from([("decision".to_owned(), "unjudged".to_owned())]) }
        } else {
            Verdict::Allow { warnings: vec![format!("{text}; it was allowed")], audit: BTreeMap::new() }
        }
    }
}

impl From<Fault> for Unjudged {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge => Self::TooLarge,
            Fault::TooSlow => Self::TooSlow,
            Fault::Broken => Self::Broken,
        }
    }
}
