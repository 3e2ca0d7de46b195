//! Why the webhook comes to no decision about a review.

use http::StatusCode;

use super::body::{BODY_LIMIT, Fault};
use crate::admission::review::ReviewError;

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecided {
    #[error("the review is larger than {} MiB", BODY_LIMIT >> 20)]
    TooLarge,
    #[error("the review did not arrive in time")]
    TooSlow,
    #[error("there are too many reviews at a time")]
    TooMany,
    #[error("the connection broke")]
    Broken,
    #[error("no decision came in time")]
    TimedOut,
    #[error("an internal error")]
    Panicked,
    #[error(transparent)]
    Unreadable(#[from] ReviewError),
}

impl Undecided {
    /// The HTTP status for a client that is not the API server: its body has no uid to answer to.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Broken | Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::TimedOut | Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Fault> for Undecided {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge => Self::TooLarge,
            Fault::TooSlow => Self::TooSlow,
            Fault::Broken => Self::Broken,
        }
    }
}
