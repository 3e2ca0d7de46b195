//! Why a request was not sent.

use std::time::Duration;

/// A request that was not sent, or that was given up, because its resource does not answer as it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct OnHold {
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
pub(super) const SILENCE: &str = "no answer came in time";

/// What is said of an answer that is none.
pub(crate) const GARBAGE: &str = "the server's answer cannot be read";

/// The [`OnHold`] in an error of a client, if there is one.
pub fn on_hold(error: &kube::Error) -> Option<&OnHold> {
    match error {
        kube::Error::Service(error) => {
            let mut cause: &(dyn std::error::Error + 'static) = error.as_ref();
            loop {
                if let Some(hold) = cause.downcast_ref() {
                    return Some(hold);
                }
                cause = cause.source()?;
            }
        }
        _ => None,
    }
}

impl From<OnHold> for kube::Error {
    fn from(hold: OnHold) -> Self {
        Self::Service(Box::new(hold))
    }
}
