//! Why a request was not sent.

use std::time::Duration;

/// A request that was not sent, or that was given up, because its resource does not answer as it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Deferred {
    /// What the server said of this object last, or of others of its resource.
    pub words: String,
    /// When the next request may be sent.
    pub wait: Duration,
    /// The trouble has begun just now and may be over at once.
    pub is_brief: bool,
    /// All requests for the resource wait, not only those about this object.
    pub is_for_all: bool,
}

/// What is said where no answer came.
pub(crate) const NO_ANSWER: &str = "no answer came in time";

/// What is said of an answer that is none.
pub(crate) const GARBAGE: &str = "the server's answer cannot be read";

/// The [`Deferred`] in an error of a client, if there is one.
pub fn deferred(error: &kube::Error) -> Option<&Deferred> {
    match error {
        kube::Error::Service(error) => {
            let mut cause: &(dyn std::error::Error + 'static) = error.as_ref();
            loop {
                if let Some(deferred) = cause.downcast_ref() {
                    return Some(deferred);
                }
                cause = cause.source()?;
            }
        }
        _ => None,
    }
}

impl From<Deferred> for kube::Error {
    fn from(deferred: Deferred) -> Self {
        Self::Service(Box::new(deferred))
    }
}
